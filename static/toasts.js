// Toasts disappear after eight seconds, later while the pointer or the focus is on them; at most three are shown.
// They are inside an open dialog, because elements behind a dialog are neither visible nor usable.
// A toast with [data-series] contains what the earlier one offered to undo, and takes its place. So does a toast that
// is about everything that an earlier one is about: both have the ids in [data-about].
window.toasts = (() => {
  const DURATION = 8000, TICK = 100, MAX_TOASTS = 3; // ms, ms, toasts
  const box = document.getElementById("toasts");
  const start = (toast) => {
    let remaining = DURATION;
    const bar = toast.querySelector("progress");
    const timer = setInterval(() => {
      if (!toast.isConnected) return clearInterval(timer);
      if (toast.matches(":hover, :focus-within")) return;
      remaining -= TICK;
      if (bar) bar.value = Math.max(0, remaining / DURATION);
      if (remaining <= 0) { clearInterval(timer); toast.remove(); }
    }, TICK);
  };
  const idsOf = (toast) => toast.dataset.about?.split(" ") ?? [];
  const removeReplaced = (toast) => {
    const about = new Set(idsOf(toast));
    for (let old = toast.previousElementSibling; old;) {
      const [one, ids] = [old, idsOf(old)];
      old = old.previousElementSibling;
      if (ids.length && ids.every((id) => about.has(id))) one.remove();
    }
  };
  const moveToTop = () => {
    const over = [...document.querySelectorAll("dialog[open]")].pop() ?? document.body;
    if (box.parentElement !== over) over.append(box);
  };
  document.addEventListener("close", moveToTop, true);
  const startNew = () => {
    moveToTop();
    const series = [...box.querySelectorAll("[data-toast]:has([data-series])")];
    for (const old of series.slice(0, -1)) old.remove();
    for (const toast of box.querySelectorAll("[data-toast]:not([data-counting])")) {
      toast.dataset.counting = "";
      removeReplaced(toast);
      start(toast);
    }
    const all = box.querySelectorAll("[data-toast]");
    for (let old = 0; old < all.length - MAX_TOASTS; old++) all[old].remove();
  };
  new MutationObserver(startNew).observe(box, { childList: true });
  startNew();
  box.addEventListener("click", (event) => { if (event.target.closest("[data-dismiss]")) event.target.closest("[data-toast]").remove(); });
  // A toast with an undo button disappears after the response, unless it may succeed later, for example after the user has
  // signed in again. Until then it cannot be used again.
  const mayRepeat = (status) => !status || status === 401 || status === 429 || status >= 500;
  const setEnabled = (form, enabled) => { for (const button of form.querySelectorAll("[data-undo]")) button.disabled = !enabled; };
  document.addEventListener("submit", (event) => { if (event.target.hasAttribute("data-htmx-powered")) setEnabled(event.target, false); });
  document.addEventListener("htmx:finally:request", (event) => {
    const form = event.detail.ctx.sourceElement, toast = form.closest?.("[data-toast]");
    if (!toast) return;
    if (mayRepeat(event.detail.ctx.response?.status)) setEnabled(form, true);
    else toast.remove();
  });

  const showError = (words, ...more) => {
    const shown = [...box.querySelectorAll("[data-toast] > span")].find((text) => text.textContent === words);
    shown?.parentElement.remove();
    const toast = document.getElementById("error-toast").content.cloneNode(true);
    toast.querySelector("span").textContent = words;
    toast.querySelector("span").after(...more);
    moveToTop(); // before something in it gets the focus
    box.append(toast);
  };
  // A failed change is not repeated automatically, because it may no longer be correct. Parts that reload themselves fail
  // without a message: the banner of the live connection says that the page is outdated.
  const showUnanswered = ({ request, sourceElement, target }) => {
    if (request.method !== "GET") showError(getText("not_sent"));
    else if (sourceElement !== target) showError(getText("not_loaded"));
  };
  document.addEventListener("htmx:error", ({ detail: { ctx } }) => { if (ctx && !ctx.response) showUnanswered(ctx); });
  // An error without our header is the page of a proxy, which replaces nothing: our server has not answered.
  document.addEventListener("htmx:before:response", (event) => {
    const { ctx } = event.detail;
    if (ctx.response.status < 400 || ctx.response.headers.has("X-Request-Id")) return;
    event.preventDefault();
    ctx.response = undefined;
    showUnanswered(ctx);
  });
  return { showError };
})();
