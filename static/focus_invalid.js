// Focuses the first invalid field of a rejected form.
(() => {
  const focusFirst = (root) => root?.querySelector?.('[aria-invalid="true"]')?.focus();
  document.addEventListener("htmx:after:swap", (event) => {
    const { response, sourceElement, target } = event.detail.ctx;
    if (response?.status !== 422) return;
    const part = typeof target === "string" ? document.querySelector(target) : target;
    focusFirst(part?.isConnected ? part : sourceElement.isConnected ? sourceElement : document);
  });
  focusFirst(document);
})();
