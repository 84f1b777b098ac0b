// Keeps drafts: a text field [data-draft="name"] stores its text in the browser until the server has accepted it: with
// htmx by its response, else by a page with [data-draft-sent]. A field that is loaded again shows its draft, also in place
// of a text of the server, because it was typed later; with it, the form gets back the hash of the text that was changed
// (shown.…), so that a change by somebody else is a conflict. A draft in a closed editor opens it. [data-draft-sent], and [data-drafts] of a form whose fields have
// none of their own, list beginnings of names: a name ends with a hash where a draft is only for this content.
// A draft belongs to the user of the page (body[data-live], see live_connection.js): after a session has ended,
// another user may sign in in the same browser.
(() => {
  const user = new URL(document.body.dataset.live ?? "", location.href).searchParams.get("for") ?? "";
  const key = (name) => `draft:${user}:${name}`;
  const fields = (root) => [...root.querySelectorAll("[data-draft]")];
  const hashOf = (field) => field.form?.elements[`shown.${field.name}`];
  const discard = (name) => {
    try { for (const each of [key(name), `${key(name)} shown`]) localStorage.removeItem(each); } catch { /* storage is not available */ }
  };
  const store = (field) => {
    const { value, dataset: { draft } } = field, hash = hashOf(field);
    if (hash ? value === field.defaultValue && field.dataset.saved === undefined : !value) return discard(draft);
    try {
      localStorage.setItem(key(draft), value);
      if (hash) localStorage.setItem(`${key(draft)} shown`, hash.value);
    } catch { /* storage is not available */ }
  };
  const discardAll = (names) => {
    const starts = names.split(" ").map(key);
    try {
      for (const stored of Object.keys(localStorage)) if (starts.some((start) => stored.startsWith(start))) localStorage.removeItem(stored);
    } catch { /* storage is not available */ }
  };
  const read = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const seen = new WeakSet(); // fields that the page has shown without a draft, or whose editor was opened once
  const restoreHash = (field) => {
    const hash = hashOf(field), shown = read(`${key(field.dataset.draft)} shown`);
    if (!hash || shown === null) return;
    hash.dataset.current = hash.value;
    hash.value = shown;
    const editor = field.closest("details[data-edit]:not([open])");
    if (editor && !seen.has(field)) { editor.setAttribute("data-shows-draft", ""); editor.open = true; }
  };
  const restore = () => {
    for (const { dataset } of document.querySelectorAll("[data-draft-sent]")) discardAll(dataset.draftSent);
    for (const field of fields(document)) {
      if (field.dataset.restored !== undefined) continue;
      field.dataset.restored = "";
      // The user has typed in it, if these are different.
      if (field.value === field.defaultValue) field.value = read(key(field.dataset.draft)) ?? field.value;
      if (field.value !== field.defaultValue) restoreHash(field);
      seen.add(field);
    }
  };
  document.addEventListener("input", (event) => { if (event.target.matches?.("[data-draft]")) store(event.target); });
  document.addEventListener("htmx:after:request", (event) => {
    const { sourceElement, response, request } = event.detail.ctx;
    const form = sourceElement.closest?.("form");
    if (!form || request.method === "GET" || response.status >= 400) return;
    // A form with [data-clears] keeps what was typed after it was sent (form_reset.js).
    const editor = document.getElementById(form.dataset.done ?? ""); // whose text was merged in a dialog
    for (const field of editor ? fields(editor) : []) discard(field.dataset.draft);
    for (const field of fields(form)) if (form.hasAttribute("data-clears")) store(field); else discard(field.dataset.draft);
    if (form.dataset.drafts) discardAll(form.dataset.drafts);
  });
  document.addEventListener("reset", ({ target: form }) => {
    if (!form.matches("details[data-edit] form")) return;
    for (const field of fields(form)) {
      const hash = hashOf(field);
      if (hash?.dataset.current) hash.value = hash.dataset.current;
      discard(field.dataset.draft);
    }
  });
  document.addEventListener("htmx:after:swap", restore);
  restore();
})();
