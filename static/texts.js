// The texts of scripts in the reader's language, from web/ui/template_environment.py: getText("in", { time: "4 min" }).
window.getText = (() => {
  const texts = JSON.parse(document.querySelector('meta[name="texts"]').content);
  return (name, values = {}) => texts[name].replace(/%\((\w+)\)[ds]|%%/g, (placeholder, key) => key ? values[key] : "%");
})();

// A text for a comparison, in small letters and without accents, by the rules of core/accents.py.
window.plainText = (() => {
  const MARKED = /([A-Za-z\u00c0-\u024f\u1e00-\u1eff\u0370-\u03ff\u1f00-\u1fff])[\u0300-\u036f]+/g;
  const LETTERS = {
    ø: "o", Ø: "O", ł: "l", Ł: "L", đ: "d", Đ: "D", ħ: "h", Ħ: "H", ŧ: "t", Ŧ: "T", ð: "d", Ð: "D", ı: "i", ё: "е", Ё: "Е",
    ß: "ss", ẞ: "SS", æ: "ae", Æ: "AE", œ: "oe", Œ: "OE", þ: "th", Þ: "TH",
  };
  const SPECIAL = new RegExp(`[${Object.keys(LETTERS).join("")}]`, "g");
  const removeAccents = (text) => text.normalize("NFD").replace(MARKED, "$1").normalize("NFC").replace(SPECIAL, (letter) => LETTERS[letter]);
  return (text) => removeAccents(text).toLowerCase();
})();
