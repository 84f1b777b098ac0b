// Shows where a rejected form is not valid: the first invalid field, else the message about the whole form. What it is
// folded in is opened; the field has the focus, and its error is in the middle of what scrolls, because a long text fills the window.
(() => {
  const INVALID = '[aria-invalid="true"]', MESSAGE = 'form [role="alert"]';
  const reveal = (fault) => {
    if (!fault) return;
    for (let outer = fault; (outer = outer.parentElement?.closest("details:not([open])"));) outer.open = true;
    fault.closest("dialog:not([open])")?.showModal();
    const control = fault.matches("fieldset") ? fault.querySelector("input, select, textarea, button") : fault;
    if (!control.matches("input, select, textarea, button")) control.tabIndex = -1;
    control.focus({ preventScroll: true });
    const [error] = (fault.getAttribute("aria-describedby") ?? "").split(" ");
    (document.getElementById(error) ?? fault).scrollIntoView({ block: "center" });
  };
  document.addEventListener("htmx:after:swap", (event) => {
    const { response, sourceElement, target } = event.detail.ctx;
    if (response?.status !== 422) return;
    const part = typeof target === "string" ? document.querySelector(target) : target;
    const shown = part?.isConnected ? part : sourceElement.isConnected ? sourceElement : document;
    reveal(shown.querySelector(INVALID) ?? shown.querySelector(MESSAGE));
  });
  reveal(document.querySelector(INVALID)); // of a page; its messages may be warnings
})();
