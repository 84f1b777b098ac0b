// Keyboard shortcuts of one key, while no field has the focus. A key activates the control [data-key="a"]: the
// one in the focused item, else the first one on the page outside of all items. Items are [data-item]; J and K
// move between the first links of the items, and open them in a list with details (master_detail.js). Users can disable
// shortcuts.
(() => {
  const GO = { a: "approvals", i: "notifications", d: "dashboard", b: "boards", n: "agents", v: "activity", s: "settings", t: "my-tasks" };
  const CHORD = 900; // ms between G and the second key
  const FIELDS = "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]";
  let prefixAt = 0;
  const stored = () => { try { return localStorage.getItem("keys"); } catch { return null; } };
  const visible = (element) => element.checkVisibility({ visibilityProperty: true });
  const first = (list) => [...list].find(visible);
  const links = () => [...document.querySelectorAll("[data-item]")].filter(visible)
    .map((item) => item.matches("a, [tabindex]") ? item : item.querySelector("a[href]")).filter(Boolean);

  const moveFocus = (by) => {
    const all = links();
    let at = all.findIndex((link) => link === document.activeElement || link.closest("[data-item]").contains(document.activeElement));
    if (at < 0) at = all.findIndex((link) => link.closest("[data-item]").getAttribute("aria-current") === "true");
    all[Math.max(0, Math.min(all.length - 1, at + by))]?.focus();
  };

  const activate = (key) => {
    const selector = `[data-key="${CSS.escape(key)}"]`;
    const item = document.activeElement?.closest("[data-item]");
    const control = (item && item.querySelector(selector)) || first([...document.querySelectorAll(selector)].filter((one) => !one.closest("[data-item]")));
    if (!control || control.disabled) return false;
    const ignored = control.closest("[inert]") ? "still_loading" : masterDetail.isOfOther(control) ? "other_open" : "";
    if (ignored) { decisionGuard.showMessage(ignored); return true; }
    if (control.matches("input:not([type=checkbox], [type=radio]), textarea, select")) control.focus();
    else control.click();
    if (control.localName === "summary") control.parentElement.querySelector(".menu :is(a, button)")?.focus();
    return true;
  };

  const handleKey = (event) => {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (GO[key] && Date.now() - prefixAt < CHORD) { prefixAt = 0; location.href = document.body.dataset.root + GO[key]; return true; }
    if (key === "g") { prefixAt = Date.now(); return true; }
    const by = { j: 1, k: -1 }[key];
    if (by) { if (!masterDetail.move(by, event.repeat)) moveFocus(by); return true; }
    if (key === "x") { const box = document.activeElement?.closest("[data-item]")?.querySelector("input[data-pick]"); box?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: event.shiftKey })); return Boolean(box); }
    if (key === "z") { const undo = [...document.querySelectorAll("[data-undo]:enabled")].pop(); undo?.click(); return Boolean(undo); }
    if (key === "?") { document.getElementById("keys")?.showModal(); return true; }
    if (key === "/") { const field = first(document.querySelectorAll('input[type="search"]')); field?.focus(); return Boolean(field); }
    if (key === "Enter") return event.target.matches("body, input") && activate(key);
    return /^[a-z0-9.[\]]$/.test(key) && activate(key);
  };

  addEventListener("keydown", (event) => {
    if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
      const palette = document.getElementById("palette");
      if (palette && !palette.open) { event.preventDefault(); palette.showModal(); }
      return;
    }
    if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
    if (stored() === "off" || event.target.closest?.(FIELDS) || document.querySelector("dialog:modal")) return;
    if (event.repeat && !/^[jk]$/i.test(event.key)) return; // a held key only moves
    if (handleKey(event)) event.preventDefault();
  });

  const switches = document.querySelectorAll("[data-keys-switch]");
  for (const each of switches) each.checked = stored() !== "off";
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-keys-switch]")) return;
    try { localStorage.setItem("keys", event.target.checked ? "on" : "off"); } catch { /* storage is not available */ }
  });
})();
