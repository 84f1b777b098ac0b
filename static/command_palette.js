// The command palette: text filters its options, arrow keys select one, Enter opens it.
(() => {
  const palette = document.getElementById("palette");
  if (!palette) return;
  const input = palette.querySelector("input");
  const all = () => [...palette.querySelectorAll('[role="option"]')];
  const shown = () => all().filter((option) => !option.hidden);
  const select = (selected) => {
    for (const option of all()) option.setAttribute("aria-selected", option === selected);
    if (!selected) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", selected.id);
    selected.scrollIntoView({ block: "nearest" });
  };
  const filter = () => {
    const words = input.value.trim().toLowerCase().split(/\s+/);
    for (const option of all()) {
      const text = option.textContent.toLowerCase();
      option.hidden = !words.every((word) => text.includes(word));
    }
    for (const group of palette.querySelectorAll('[role="group"]')) group.hidden = !group.querySelector('[role="option"]:not([hidden])');
    palette.querySelector("[data-palette-none]").hidden = shown().length > 0;
    select(shown()[0]);
  };
  input.addEventListener("input", filter);
  input.addEventListener("keydown", (event) => {
    const options = shown(), at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && options.length) select(options[(at + step + options.length) % options.length]);
    else if (event.key === "Enter") options[at]?.click();
    else return;
    event.preventDefault();
  });
  palette.addEventListener("click", (event) => { if (event.target.closest('[role="option"]')) palette.close(); });
  new MutationObserver(() => { if (palette.open) { input.value = ""; filter(); } }).observe(palette, { attributeFilter: ["open"] });
})();
