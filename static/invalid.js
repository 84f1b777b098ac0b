// When a form comes back with something wrong, the first wrong field has the focus.
(() => {
  const first = (root) => root?.querySelector?.('[aria-invalid="true"]')?.focus();
  document.addEventListener("htmx:after:swap", (event) => {
    const { response, sourceElement, target } = event.detail.ctx;
    if (response?.status !== 422) return;
    const part = typeof target === "string" ? document.querySelector(target) : target;
    first(part?.isConnected ? part : sourceElement.isConnected ? sourceElement : document);
  });
  first(document);
})();
