// A form that stays on the page after the server has accepted it with htmx: one with [data-clears] is emptied, and each
// is a new one, because the server executes a form with the same id once.
(() => {
  const createId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  document.addEventListener("htmx:after:request", (event) => {
    const { sourceElement, response, request } = event.detail.ctx;
    const form = sourceElement.closest?.("form");
    if (!form || request.method === "GET" || response.status >= 400) return;
    if (form.hasAttribute("data-clears")) form.reset();
    if (form.elements.form_id) form.elements.form_id.value = createId();
  });
})();
