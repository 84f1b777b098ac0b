// Warns before a page with unsaved changes of a form[data-warns] is left. So is what a form shows again that was sent: it was
// rejected or only tried (then the page is the response to it, and body[data-posted] has its section, if several forms have
// this address), or is kept from before a sign-in.
(() => {
  const isPosted = (form) => (form.elements.section?.value ?? "") === document.body.dataset.posted
    && new URL(form.getAttribute("action"), location.href).href === location.href.split("#")[0];
  const isUnsaved = (form) => form.hasAttribute("data-restored") || isPosted(form);
  const changed = new Set([...document.querySelectorAll("form[data-warns]")].filter(isUnsaved));
  document.addEventListener("input", ({ target }) => {
    const form = target.form ?? target.closest?.("form"); // of a field, or of the rows of which one was removed
    if (form?.hasAttribute("data-warns")) changed.add(form);
  });
  document.addEventListener("submit", (event) => changed.delete(event.target));
  addEventListener("beforeunload", (event) => {
    if (document.documentElement.hidden) return; // loaded again by page_history.js: the reader agreed when it was left
    if ([...changed].some((form) => form.isConnected)) event.preventDefault();
  });
})();
