// Dialogs and menus. [data-open="id"] opens a <dialog>, also from a link (which works without scripts),
// [data-close="id"] and a click outside close it. <details class="drop"> closes when Tab leaves it, or something else is
// clicked, except a field of the same form, and the tools of a row.
(() => {
  let pressed; // where the pointer was pressed: a text that is selected beyond the edge of its dialog does not close it
  let isTabbing = false; // the last key was Tab, and the focus moves with it
  document.addEventListener("pointerdown", ({ target }) => {
    pressed = target;
    isTabbing = false;
  }, true);
  document.addEventListener("keydown", ({ key }) => { isTabbing = key === "Tab"; }, true);
  document.addEventListener("focusin", ({ target }) => {
    if (!isTabbing) return;
    for (const menu of document.querySelectorAll("details.drop[open]")) {
      if (menu.contains(target)) continue;
      menu.open = false;
      menu.open = !target.checkVisibility(); // a narrow bar shows its quick filters only with the menu
    }
  });
  const open = (id) => {
    const dialog = document.getElementById(id);
    if (dialog && !dialog.open) dialog.showModal();
    return Boolean(dialog);
  };
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open]");
    if (opener && !event.ctrlKey && !event.metaKey && open(opener.dataset.open)) event.preventDefault();
    const closer = event.target.closest("[data-close]");
    if (closer) (document.getElementById(closer.dataset.close) ?? closer.closest("dialog"))?.close();
    if (event.target.localName === "dialog" && event.target === pressed) event.target.close();
    for (const menu of document.querySelectorAll("details.drop[open]")) {
      const isInside = menu.contains(event.target) || (event.target.closest("input, .chip") && menu.closest("form")?.contains(event.target));
      if (!isInside || event.target.closest(".menu :is(a, button):not(.nav__tools *)")) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const choices = by && event.target.matches?.(".menu :is(a, button, summary)") && [...event.target.closest(".menu").querySelectorAll("a, button, summary")].filter((choice) => choice.checkVisibility());
    if (!choices) return;
    event.preventDefault();
    choices[(choices.indexOf(event.target) + by + choices.length) % choices.length].focus();
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector("details.drop[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
    event.stopImmediatePropagation();
  }, true);
  // A form with [data-closes] closes its dialog when the server has accepted it; with [data-closes="invalid"] also when
  // it is invalid, because its errors are shown on the page.
  document.addEventListener("htmx:after:request", (event) => {
    const { sourceElement, response: { status } } = event.detail.ctx;
    const form = sourceElement.closest?.("dialog form[data-closes]");
    if (form && (status < 400 || (status === 422 && form.dataset.closes === "invalid"))) form.closest("dialog").close();
  });
  // Content with [data-opens="id"] that a response brings opens its dialog.
  document.addEventListener("htmx:after:swap", () => {
    const content = document.querySelector("[data-opens]");
    if (!content) return;
    open(content.dataset.opens);
    content.removeAttribute("data-opens");
  });
  // A dialog whose form was rejected opens again.
  const rejected = document.querySelector("dialog[data-open-now]");
  if (rejected) open(rejected.id);
})();
