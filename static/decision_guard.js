// Protects decisions from accidental input. A submit button [data-decides="id"] decides the item with this id, whose
// content has the hash [data-decides-hash]. It works after this content has been on screen for half a second, so a
// double click or a second key press cannot decide the item that takes the place of a decided one, and nobody decides
// content that has just changed. Until then it is aria-disabled, and using it restarts the half second.
// One decision is sent at a time, and a held key never presses a button. Nothing in a part that is [inert] is decided,
// because its content is being replaced (master_detail.js).
window.decisionGuard = (() => {
  const DELAY = 500; // ms
  const MESSAGE_DURATION = 3000; // ms
  const shownSince = new Map(); // by key
  const onScreen = new WeakMap(); // buttons that were observed: whether they are on the screen
  let sending, timer, messageTimer;

  const keyOf = (button) => `${button.dataset.decides} ${button.dataset.decidesHash ?? ""}`;
  const remaining = (key) => {
    const age = Date.now() - (shownSince.get(key) ?? Date.now());
    return age < 0 ? DELAY : Math.max(0, DELAY - age); // below 0 if the clock was set back
  };

  const update = () => {
    const buttons = [...document.querySelectorAll("[data-decides]")];
    const isVisible = (button) => !button.closest("[inert]") && (onScreen.get(button) ?? shownSince.has(keyOf(button))); // new buttons are observed soon
    const visible = new Set(document.hidden ? [] : buttons.filter(isVisible).map(keyOf));
    for (const key of shownSince.keys()) if (!visible.has(key)) shownSince.delete(key);
    for (const key of visible) if (!shownSince.has(key)) shownSince.set(key, Date.now());
    for (const button of buttons) {
      observer.observe(button);
      if (isReady(keyOf(button))) button.removeAttribute("aria-disabled");
      else button.setAttribute("aria-disabled", "true");
    }
    clearTimeout(timer);
    const waits = [...visible].map(remaining).filter(Boolean);
    if (waits.length) timer = setTimeout(update, Math.min(...waits));
  };
  const isReady = (key) => shownSince.has(key) && remaining(key) === 0;

  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) onScreen.set(target, isIntersecting);
    update();
  });

  const showMessage = (name) => {
    const line = document.getElementById("decision-message");
    line.textContent = getText(name);
    line.dataset.shown = "";
    clearTimeout(messageTimer);
    messageTimer = setTimeout(() => {
      line.textContent = "";
      delete line.dataset.shown;
    }, MESSAGE_DURATION);
  };

  const isSending = () => Boolean(sending?.isConnected);
  // The first button of a form, which the Enter key presses, sends nothing (ignore_enter in templates/macros/forms.html).
  document.addEventListener("submit", (event) => {
    if (event.submitter?.formMethod !== "dialog" || event.target.closest("dialog")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  document.addEventListener("submit", (event) => {
    if (!event.submitter?.dataset.decides) return;
    const key = keyOf(event.submitter);
    if (!isSending() && isReady(key)) {
      sending = event.target;
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    if (isSending()) return;
    if (shownSince.has(key)) shownSince.set(key, Date.now());
    update();
    showMessage(event.submitter.closest("[inert]") ? "still_loading" : "too_early");
  }, true);
  document.addEventListener("keydown", (event) => {
    if (event.repeat && (event.key === "Enter" || event.key === " ") && event.target.closest?.("button[type=submit]")) event.preventDefault();
  }, true);

  // After a decision the half second starts again for everything that is on screen.
  document.addEventListener("htmx:finally:request", (event) => {
    if (event.detail.ctx.sourceElement !== sending) return;
    sending = undefined;
    shownSince.clear();
    update();
  });
  document.addEventListener("htmx:after:swap", update);
  document.addEventListener("visibilitychange", update);
  addEventListener("pageshow", () => { sending = undefined; update(); });
  update();
  return { update, showMessage };
})();
