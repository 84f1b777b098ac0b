// The theme, set before anything is painted: automatic, light or dark, as this browser remembers it.
// [data-theme-toggle] goes to the next one, [data-theme-set="dark"] sets it, [data-theme-name] says it.
(() => {
  const root = document.documentElement;
  const next = { "": "light", light: "dark", dark: "" };
  const names = { "": "automatic", light: "light", dark: "dark" };
  let theme = "";
  try { theme = localStorage.getItem("theme") ?? ""; } catch { /* a browser that remembers nothing */ }
  if (!(theme in names)) theme = "";

  const paint = () => { if (theme) root.dataset.theme = theme; else delete root.dataset.theme; };

  const say = () => {
    for (const name of document.querySelectorAll("[data-theme-name]")) name.textContent = names[theme];
    for (const choice of document.querySelectorAll("[data-theme-set]")) {
      if (choice.type === "radio") choice.checked = choice.dataset.themeSet === theme;
      else if (choice.localName === "button") choice.setAttribute("aria-pressed", choice.dataset.themeSet === theme);
    }
  };

  const set = (wanted) => {
    theme = wanted;
    try { if (theme) localStorage.setItem("theme", theme); else localStorage.removeItem("theme"); } catch { /* as above */ }
    paint();
    say();
  };

  root.classList.add("js");
  paint();
  document.addEventListener("DOMContentLoaded", say);
  document.addEventListener("htmx:after:swap", say);
  document.addEventListener("click", (event) => {
    const choice = event.target.closest("[data-theme-set]");
    if (choice) set(choice.dataset.themeSet);
    else if (event.target.closest("[data-theme-toggle]")) set(next[theme]);
  });
  addEventListener("storage", (event) => { if (event.key === "theme") { theme = event.newValue ?? ""; paint(); say(); } });
})();
