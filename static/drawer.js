// The drawer beside a page: <… id="drawer"> is empty and hidden, or contains a part that a link has loaded.
// A link with [data-close-drawer] leads to the page without it; with scripts it only closes the drawer.
(() => {
  const drawer = () => document.getElementById("drawer");
  let opener;
  const markCurrent = () => {
    if (!drawer()) return; // the page has no drawer
    for (const item of document.querySelectorAll("[data-item][aria-current]")) item.removeAttribute("aria-current");
    const shown = drawer().dataset.shows;
    document.getElementById(shown ?? "")?.setAttribute("aria-current", "true");
  };
  const close = (address) => {
    const empty = document.createElement("div");
    empty.id = "drawer";
    empty.hidden = true;
    drawer().replaceWith(empty);
    history.pushState({ htmx: true }, "", address);
    markCurrent();
    if (opener?.isConnected) opener.focus();
  };
  document.addEventListener("click", (event) => {
    const closer = event.target.closest("[data-close-drawer]");
    if (!closer || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    close(closer.getAttribute("href") ?? location.pathname);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (event.target.matches("input, textarea, select")) return event.target.blur();
    drawer()?.querySelector("[data-close-drawer]")?.click();
  });
  document.addEventListener("htmx:before:request", (event) => {
    const { sourceElement, target } = event.detail.ctx;
    if (target?.id === "drawer" && sourceElement.localName === "a") opener = sourceElement;
  });
  document.addEventListener("htmx:after:swap", (event) => {
    const { sourceElement, target, request } = event.detail.ctx;
    markCurrent();
    const isDrawer = target === "#drawer" || target?.id === "drawer";
    if (isDrawer && request.method === "GET" && sourceElement === opener) drawer()?.focus({ preventScroll: true });
  });
})();
