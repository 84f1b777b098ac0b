// Shows a form that was filled in again after a sign-in (form[data-restored], web/ui/posted_forms.py): opens the dialog
// around it, and focuses its first field. The address loses the id of the form, so that a copy of it does not have it.
(() => {
  const address = new URL(location.href);
  if (address.searchParams.has("kept")) {
    address.searchParams.delete("kept");
    history.replaceState(history.state, "", address);
  }
  const form = document.querySelector("form[data-restored]");
  if (!form) return document.querySelector("[data-restored-notice]")?.scrollIntoView({ block: "center" });
  const dialog = form.closest("dialog");
  dialog?.close();
  dialog?.showModal();
  const field = form.querySelector("textarea, select, input:not([type='hidden'], [type='checkbox'], [type='radio'])");
  field?.focus({ preventScroll: true });
  form.querySelector("[data-restored-notice]").scrollIntoView({ block: "center" });
})();
