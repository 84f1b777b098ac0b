// What is being written survives a reload: <textarea data-draft="a name for it"> keeps its text in this
// browser until it has been sent. A form with [data-clears] is emptied once the server took it.
(() => {
  const key = (area) => `draft:${area.dataset.draft}`;
  const areas = (root) => [...root.querySelectorAll("textarea[data-draft]")];
  const keep = (area) => {
    try { if (area.value) localStorage.setItem(key(area), area.value); else localStorage.removeItem(key(area)); } catch { /* not kept */ }
  };
  const restore = (root) => {
    for (const area of areas(root)) {
      if (area.dataset.restored !== undefined) continue;
      area.dataset.restored = "";
      try { area.value ||= localStorage.getItem(key(area)) ?? ""; } catch { /* nothing kept */ }
    }
  };
  const sent = (form) => {
    for (const area of areas(form)) { try { localStorage.removeItem(key(area)); } catch { /* nothing kept */ } }
  };
  document.addEventListener("input", (event) => { if (event.target.matches?.("textarea[data-draft]")) keep(event.target); });
  document.addEventListener("submit", (event) => { if (!event.target.hasAttribute("data-htmx-powered")) sent(event.target); });
  document.addEventListener("htmx:after:request", (event) => {
    const { sourceElement, response, request } = event.detail.ctx;
    const form = sourceElement.closest?.("form");
    if (!form || request.method === "GET" || response.status >= 400) return;
    sent(form);
    if (form.hasAttribute("data-clears")) form.reset();
  });
  document.addEventListener("htmx:after:swap", () => restore(document));
  // ⌘↵ sends what is being written; with data-enter="send" ↵ does, too, and ⇧↵ breaks the line.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || !event.target.matches?.("textarea")) return;
    const sends = event.metaKey || event.ctrlKey || (event.target.dataset.enter === "send" && !event.shiftKey);
    if (!sends || !event.target.form) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  });
  restore(document);
})();
