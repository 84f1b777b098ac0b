// The texts of scripts in the reader's language, from web/ui/template_environment.py: getText("in", { time: "4 min" }).
window.getText = (() => {
  const texts = JSON.parse(document.querySelector('meta[name="texts"]').content);
  return (name, values = {}) => texts[name].replace(/%\((\w+)\)[ds]|%%/g, (placeholder, key) => key ? values[key] : "%");
})();
