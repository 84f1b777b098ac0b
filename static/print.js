// Buttons that print the page: [data-print]. A board and a conversation are printed completely: what is folded or cut is
// loaded from [data-print-from]. The page waits for it, because printing does not.
document.addEventListener("click", (event) => { if (event.target.closest("[data-print]")) print(); });
(() => {
  let shown, printed;
  addEventListener("beforeprint", () => {
    const page = document.querySelector(".drawer") ?? document; // beside a drawer only the drawer is printed
    const part = page.querySelector("[data-print-from]");
    if (!part) return;
    const request = new XMLHttpRequest();
    request.open("GET", part.dataset.printFrom, false);
    request.setRequestHeader("HX-Request", "true");
    try { request.send(); } catch { return; } // without a connection, what is shown is printed
    if (request.status !== 200) return;
    const whole = new DOMParser().parseFromString(request.responseText, "text/html").querySelector(part.id ? `#${part.id}` : ".board");
    if (!whole) return;
    [shown, printed] = [part, document.importNode(whole, true)];
    part.replaceWith(printed);
  });
  addEventListener("afterprint", () => {
    printed?.replaceWith(shown);
    shown = printed = undefined;
  });
})();
