// Keeps drafts: <textarea data-draft="name"> stores its text in the browser until the server has accepted it: with htmx
// by its response, else by a page with [data-draft-sent="name"].
// A draft belongs to the user of the page (body[data-live], see live_connection.js): after a session has ended,
// another user may sign in in the same browser.
(() => {
  const user = new URL(document.body.dataset.live ?? "", location.href).searchParams.get("for") ?? "";
  const key = (name) => `draft:${user}:${name}`;
  const areas = (root) => [...root.querySelectorAll("textarea[data-draft]")];
  const store = ({ value, dataset: { draft } }) => {
    try { if (value) localStorage.setItem(key(draft), value); else localStorage.removeItem(key(draft)); } catch { /* storage is not available */ }
  };
  const discard = (name) => { try { localStorage.removeItem(key(name)); } catch { /* storage is not available */ } };
  const restore = () => {
    for (const { dataset } of document.querySelectorAll("[data-draft-sent]")) discard(dataset.draftSent);
    for (const area of areas(document)) {
      if (area.dataset.restored !== undefined) continue;
      area.dataset.restored = "";
      try { area.value ||= localStorage.getItem(key(area.dataset.draft)) ?? ""; } catch { /* storage is not available */ }
    }
  };
  document.addEventListener("input", (event) => { if (event.target.matches?.("textarea[data-draft]")) store(event.target); });
  document.addEventListener("htmx:after:request", (event) => {
    const { sourceElement, response, request } = event.detail.ctx;
    const form = sourceElement.closest?.("form");
    if (form && request.method !== "GET" && response.status < 400) areas(form).forEach(store); // it was emptied (form_reset.js)
  });
  document.addEventListener("htmx:after:swap", restore);
  restore();
})();
