// A long form, form[data-warns], asks before one leaves it with changes that were not saved.
(() => {
  let changed = new Set();
  document.addEventListener("input", (event) => { if (event.target.form?.hasAttribute("data-warns")) changed.add(event.target.form); });
  document.addEventListener("submit", (event) => changed.delete(event.target));
  addEventListener("beforeunload", (event) => {
    if ([...changed].some((form) => form.isConnected)) event.preventDefault();
  });
})();
