// Buttons that print the page: [data-print]. A board is printed completely: its columns are loaded from
// [data-print-from] if some are folded or cut. The page waits for them, because printing does not.
document.addEventListener("click", (event) => { if (event.target.closest("[data-print]")) print(); });
(() => {
  let shown, printed;
  addEventListener("beforeprint", () => {
    const board = document.querySelector(".board[data-print-from]");
    if (!board || document.querySelector(".drawer")) return; // beside a drawer only the drawer is printed
    const request = new XMLHttpRequest();
    request.open("GET", board.dataset.printFrom, false);
    request.setRequestHeader("HX-Request", "true");
    try { request.send(); } catch { return; } // without a connection, what is shown is printed
    if (request.status !== 200) return;
    const whole = new DOMParser().parseFromString(request.responseText, "text/html").querySelector(".board");
    if (!whole) return;
    [shown, printed] = [board, document.importNode(whole, true)];
    board.replaceWith(printed);
  });
  addEventListener("afterprint", () => {
    printed?.replaceWith(shown);
    shown = printed = undefined;
  });
})();
