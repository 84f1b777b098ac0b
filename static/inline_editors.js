// Inline editors: <details data-edit> with a form. While one is open, a reload of the part around it skips it
// (morphSkip, in the layout), so typed text is never replaced; the part is loaded again when it is closed. form[data-done] closes its editor or dialog when
// the server has accepted it, unless the submit button has [data-stays]; form[data-done="id"] closes that editor.
(() => {
  const outdated = new Map(); // open editors that a reload has skipped, and the part that it has reloaded
  document.addEventListener("htmx:after:swap", ({ detail: { ctx: { sourceElement, target, request } } }) => {
    if (request.method !== "GET" || target !== sourceElement) return;
    for (const editor of target.querySelectorAll("details[data-edit][open]")) outdated.set(editor, target);
  });
  const update = (editor) => {
    const part = outdated.get(editor);
    outdated.delete(editor);
    if (part?.isConnected) htmx.trigger(part, "part:reload");
  };
  document.addEventListener("toggle", (event) => {
    const editor = event.target;
    if (!editor.matches?.("details[data-edit]")) return;
    if (!editor.open) return update(editor);
    if (editor.hasAttribute("data-shows-draft")) return editor.removeAttribute("data-shows-draft"); // drafts.js has opened it
    const field = editor.querySelector("form :is(input:not([type=hidden]), textarea, select)");
    if (!document.activeElement.matches("input, textarea, select")) field?.focus();
  }, true);
  const close = (editor) => {
    if (!editor?.open) return;
    const hadFocus = editor.contains(document.activeElement);
    editor.open = false;
    if (hadFocus) editor.querySelector("summary").focus();
  };
  document.addEventListener("htmx:after:request", (event) => {
    const { sourceElement, response, request } = event.detail.ctx;
    const form = sourceElement.closest?.("form[data-done]");
    if (!form || response.status >= 400) return;
    const stays = request.submitter?.hasAttribute("data-stays");
    if (!stays) { close(form.dataset.done ? document.getElementById(form.dataset.done) : form.closest("details[data-edit]")); form.closest("dialog")?.close(); }
    else form.querySelector("input, textarea")?.focus();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-edit-cancel]");
    if (button) close(button.closest("details[data-edit]"));
  });
  // The form of a rejected change has its error, and the rejected text as the default of its field: [data-saved] is the
  // current text. The description of the field stays in place, because the field refers to it by id.
  document.addEventListener("reset", (event) => {
    if (!event.target.matches("details[data-edit] form")) return;
    for (const error of event.target.querySelectorAll(".err")) { error.replaceChildren(); error.hidden = true; }
    for (const field of event.target.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
    for (const field of event.target.querySelectorAll("[data-saved]")) field.defaultValue = field.dataset.saved;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !event.target.matches?.("details[data-edit] :is(input, textarea, select, button)")) return;
    if (!event.target.matches("textarea")) event.target.form?.reset(); // a long text is kept for the next opening
    close(event.target.closest("details[data-edit]"));
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
})();
