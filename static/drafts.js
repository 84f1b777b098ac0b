// Keeps drafts: a text field [data-draft="name"] stores its text in the browser until the server has accepted it: with
// htmx by its response, else by a page with [data-draft-sent]. A field that is loaded again shows its draft, also in place
// of a text of the server, because it was typed later. [data-draft-sent], and [data-drafts] of a form whose fields have
// none of their own, list beginnings of names: a name ends with a hash where a draft is only for this content.
// A draft belongs to the user of the page (body[data-live], see live_connection.js): after a session has ended,
// another user may sign in in the same browser.
(() => {
  const user = new URL(document.body.dataset.live ?? "", location.href).searchParams.get("for") ?? "";
  const key = (name) => `draft:${user}:${name}`;
  const fields = (root) => [...root.querySelectorAll("[data-draft]")];
  const store = ({ value, dataset: { draft } }) => {
    try { if (value) localStorage.setItem(key(draft), value); else localStorage.removeItem(key(draft)); } catch { /* storage is not available */ }
  };
  const discard = (name) => { try { localStorage.removeItem(key(name)); } catch { /* storage is not available */ } };
  const discardAll = (names) => {
    const starts = names.split(" ").map(key);
    try {
      for (const stored of Object.keys(localStorage)) if (starts.some((start) => stored.startsWith(start))) localStorage.removeItem(stored);
    } catch { /* storage is not available */ }
  };
  const restore = () => {
    for (const { dataset } of document.querySelectorAll("[data-draft-sent]")) discardAll(dataset.draftSent);
    for (const field of fields(document)) {
      if (field.dataset.restored !== undefined) continue;
      field.dataset.restored = "";
      if (field.value !== field.defaultValue) continue; // the user has typed in it
      try { field.value = localStorage.getItem(key(field.dataset.draft)) ?? field.value; } catch { /* storage is not available */ }
    }
  };
  document.addEventListener("input", (event) => { if (event.target.matches?.("[data-draft]")) store(event.target); });
  document.addEventListener("htmx:after:request", (event) => {
    const { sourceElement, response, request } = event.detail.ctx;
    const form = sourceElement.closest?.("form");
    if (!form || request.method === "GET" || response.status >= 400) return;
    // A form with [data-clears] keeps what was typed after it was sent (form_reset.js).
    for (const field of fields(form)) if (form.hasAttribute("data-clears")) store(field); else discard(field.dataset.draft);
    if (form.dataset.drafts) discardAll(form.dataset.drafts);
  });
  document.addEventListener("htmx:after:swap", restore);
  restore();
})();
