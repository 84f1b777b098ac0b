// A form that stays on the page after the server has accepted it with htmx: each gets a new id, because the server executes
// a form with the same id once. One with [data-clears] is emptied, except for what was typed after it was sent, and is not
// sent again before the response has arrived.
// The filters in a part that a link has replaced show what was chosen with it: htmx changes only the defaults of their
// checkboxes and selections.
(() => {
  const sending = new WeakSet(); // forms
  const createId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const removeSent = (text, sent) => text.startsWith(sent) ? text.slice(sent.length).trimStart() : text;
  const clear = (form, body) => {
    const typed = [...form.querySelectorAll("textarea")].map((area) => [area, removeSent(area.value, body.get(area.name))]);
    form.reset();
    for (const [area, text] of typed) area.value = text;
  };
  document.addEventListener("submit", (event) => {
    if (!sending.has(event.target)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  document.addEventListener("htmx:before:request", ({ detail: { ctx: { request: { form } } } }) => {
    if (form?.hasAttribute("data-clears")) sending.add(form);
  });
  document.addEventListener("htmx:finally:request", ({ detail: { ctx: { request: { form } } } }) => sending.delete(form));
  document.addEventListener("htmx:after:request", (event) => {
    const { sourceElement, response, request } = event.detail.ctx;
    const form = sourceElement.closest?.("form");
    if (!form || request.method === "GET" || response.status >= 400) return;
    if (form.hasAttribute("data-clears")) clear(form, request.body);
    if (form.elements.form_id) form.elements.form_id.value = createId();
  });
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    if (ctx.sourceEvent?.type !== "click") return;
    for (const filters of ctx.target?.querySelectorAll?.("form[method=get]") ?? []) filters.reset();
  });
})();
