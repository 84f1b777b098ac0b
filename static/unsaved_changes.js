// Warns before a page with unsaved changes of a form[data-warns] is left.
(() => {
  let changed = new Set();
  document.addEventListener("input", (event) => { if (event.target.form?.hasAttribute("data-warns")) changed.add(event.target.form); });
  document.addEventListener("submit", (event) => changed.delete(event.target));
  addEventListener("beforeunload", (event) => {
    if ([...changed].some((form) => form.isConnected)) event.preventDefault();
  });
})();
