// Toasts stay for eight seconds, longer while one looks at them, and at most three at a time.
// While a dialog is open they are inside it: what lies behind a dialog can be neither seen nor pressed.
(() => {
  const STAY = 8000, TICK = 100, MOST = 3; // ms, ms, toasts
  const box = document.getElementById("toasts");
  const start = (toast) => {
    let left = STAY;
    const bar = toast.querySelector("progress");
    const timer = setInterval(() => {
      if (!toast.isConnected) return clearInterval(timer);
      if (toast.matches(":hover, :focus-within")) return;
      left -= TICK;
      if (bar) bar.value = Math.max(0, left / STAY);
      if (left <= 0) { clearInterval(timer); toast.remove(); }
    }, TICK);
  };
  const place = () => {
    const over = [...document.querySelectorAll("dialog[open]")].pop() ?? document.body;
    if (box.parentElement !== over) over.append(box);
  };
  document.addEventListener("close", place, true);
  const arrived = () => {
    place();
    for (const toast of box.querySelectorAll("[data-toast]:not([data-counting])")) {
      toast.dataset.counting = "";
      start(toast);
    }
    const all = box.querySelectorAll("[data-toast]");
    for (let old = 0; old < all.length - MOST; old++) all[old].remove();
  };
  new MutationObserver(arrived).observe(box, { childList: true });
  arrived();
  box.addEventListener("click", (event) => { if (event.target.closest("[data-dismiss]")) event.target.closest("[data-toast]").remove(); });
  // Undo asks once: its toast goes when the server has answered.
  document.addEventListener("htmx:finally:request", (event) => {
    const toast = event.detail.ctx.sourceElement.closest?.("[data-toast]");
    if (toast && event.detail.ctx.response) toast.remove();
  });

  const failed = (words) => {
    const toast = document.createElement("div");
    toast.className = "toast";
    toast.dataset.toast = "";
    toast.dataset.tone = "danger";
    toast.setAttribute("role", "alert");
    const text = document.createElement("span");
    text.textContent = words;
    toast.append(text);
    box.append(toast);
  };
  // A change that never reached the server is not kept for later: a late answer may be a wrong one.
  document.addEventListener("htmx:error", (event) => {
    const context = event.detail.ctx;
    if (context && context.request.method !== "GET" && !context.response) failed("Not sent. Try again.");
  });
})();
