// Keeps drafts: <textarea data-draft="name"> stores its text in the browser until it is sent. A form with
// [data-clears] is emptied when the server has accepted it.
// A draft belongs to the user of the page (body[data-live], see live_connection.js): after a session has ended,
// another user may sign in in the same browser.
(() => {
  const user = new URL(document.body.dataset.live ?? "", location.href).searchParams.get("for") ?? "";
  const key = (area) => `draft:${user}:${area.dataset.draft}`;
  const areas = (root) => [...root.querySelectorAll("textarea[data-draft]")];
  const store = (area) => {
    try { if (area.value) localStorage.setItem(key(area), area.value); else localStorage.removeItem(key(area)); } catch { /* storage is not available */ }
  };
  const restore = (root) => {
    for (const area of areas(root)) {
      if (area.dataset.restored !== undefined) continue;
      area.dataset.restored = "";
      try { area.value ||= localStorage.getItem(key(area)) ?? ""; } catch { /* storage is not available */ }
    }
  };
  const discard = (form) => {
    for (const area of areas(form)) { try { localStorage.removeItem(key(area)); } catch { /* storage is not available */ } }
  };
  // A form that stays on the page is a new one afterwards: the server executes a form with the same id once.
  const renewId = (form) => {
    if (form.elements.form_id) form.elements.form_id.value = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  };
  document.addEventListener("input", (event) => { if (event.target.matches?.("textarea[data-draft]")) store(event.target); });
  document.addEventListener("submit", (event) => { if (!event.target.hasAttribute("data-htmx-powered")) discard(event.target); });
  document.addEventListener("htmx:after:request", (event) => {
    const { sourceElement, response, request } = event.detail.ctx;
    const form = sourceElement.closest?.("form");
    if (!form || request.method === "GET" || response.status >= 400) return;
    discard(form);
    if (form.hasAttribute("data-clears")) form.reset();
    renewId(form);
  });
  document.addEventListener("htmx:after:swap", () => restore(document));
  // ⌘↵ submits the form; with data-enter="send" ↵ does, too, and ⇧↵ inserts a line break.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || !event.target.matches?.("textarea")) return;
    const sends = event.metaKey || event.ctrlKey || (event.target.dataset.enter === "send" && !event.shiftKey);
    if (!sends || !event.target.form) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  });
  restore(document);
})();
