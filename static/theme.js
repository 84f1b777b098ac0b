// Applies the theme before the first paint: automatic, light or dark, as stored in the browser.
// [data-theme-toggle] switches to the next one, [data-theme-set="dark"] sets it, [data-theme-name] shows it.
(() => {
  const root = document.documentElement;
  const next = { "": "light", light: "dark", dark: "" };
  let theme = "";
  try { theme = localStorage.getItem("theme") ?? ""; } catch { /* storage is not available */ }
  if (!(theme in next)) theme = "";

  const apply = () => {
    if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
    for (const meta of document.querySelectorAll("[data-theme-color]")) { // the colour around an installed app
      const color = meta.dataset.themeColor;
      meta.media = theme ? (color === theme ? "all" : "not all") : `(prefers-color-scheme: ${color})`;
    }
  };

  const showName = () => {
    for (const name of document.querySelectorAll("[data-theme-name]")) name.textContent = getText(`theme_${theme || "automatic"}`);
    for (const choice of document.querySelectorAll("[data-theme-set]")) {
      if (choice.type === "radio") choice.checked = choice.dataset.themeSet === theme;
      else if (choice.localName === "button") choice.setAttribute("aria-pressed", choice.dataset.themeSet === theme);
    }
  };

  const setTheme = (value) => {
    theme = value;
    try { if (theme) localStorage.setItem("theme", theme); else localStorage.removeItem("theme"); } catch { /* as above */ }
    apply();
    showName();
  };

  root.classList.add("js");
  apply();
  document.addEventListener("DOMContentLoaded", showName);
  document.addEventListener("htmx:after:swap", showName);
  document.addEventListener("click", (event) => {
    const choice = event.target.closest("[data-theme-set]");
    if (choice) setTheme(choice.dataset.themeSet);
    else if (event.target.closest("[data-theme-toggle]")) setTheme(next[theme]);
  });
  addEventListener("storage", (event) => { if (event.key === "theme") { theme = event.newValue ?? ""; apply(); showName(); } });
})();
