// Drags the cards of a board by mouse and touch. Inside [data-board], every list [data-column="status"] contains cards;
// those with [data-movable] can be dragged, and dropped anywhere on a column: on its heading too, and on a folded one.
// What is near an edge of a column, of the board or of the window scrolls. A card that is dropped elsewhere returns.
(() => {
  const DROPS = ["drop", "touchend", "pointerup", "mouseup"]; // other events end a drag without a drop
  const POINTER = ["dragover", "touchmove", "pointermove"];
  const AUTOSCROLL = { forceAutoScrollFallback: true, scrollSensitivity: 48, scrollSpeed: 14 }; // px, px per tick
  let over, next; // the column below the pointer; what followed the dragged card
  const cardId = (element) => element?.dataset.task ?? "";

  const columnAt = (event) => {
    const { clientX, clientY } = event.changedTouches?.[0] ?? event;
    return document.elementsFromPoint(clientX, clientY).map((element) => element.closest("[data-board] .col")).find(Boolean);
  };
  const highlight = (column) => {
    if (over !== column) delete over?.dataset.over;
    over = column;
    if (over) over.dataset.over = "";
  };
  const followPointer = (event) => {
    highlight(columnAt(event));
    if (over && event.type === "dragover") event.preventDefault(); // it can be dropped here
  };

  const start = ({ item }) => {
    next = item.nextElementSibling;
    item.dataset.used = "";
    for (const name of POINTER) document.addEventListener(name, followPointer, { capture: true, passive: false });
  };
  const drop = ({ item, from, to, originalEvent }) => {
    for (const name of POINTER) document.removeEventListener(name, followPointer, true);
    const column = DROPS.includes(originalEvent?.type) ? columnAt(originalEvent) : undefined, following = next;
    highlight(undefined);
    const isPlaced = column?.contains(to) && column.closest("[data-order=manual]");
    const values = { to: column?.dataset.status };
    if (isPlaced) Object.assign(values, { before: cardId(item.nextElementSibling), after: cardId(item.previousElementSibling) });
    values.revert = () => { if (item.isConnected && from.isConnected) from.insertBefore(item, following?.parentNode === from ? following : null); };
    const stays = from === to && item.nextElementSibling === following;
    if (!column?.contains(to)) values.revert();
    for (const list of [from, to]) delete list.closest("[data-hash]")?.dataset.hash; // no longer as the server sent it
    delete item.dataset.used;
    if (column && !(column.contains(from) && (stays || !isPlaced))) item.dispatchEvent(new CustomEvent("card:move", { bubbles: true, detail: values }));
    else values.revert();
    document.dispatchEvent(new Event("card:released"));
  };

  const initialize = () => {
    for (const list of document.querySelectorAll("[data-board] [data-column]")) {
      const sort = Boolean(list.closest("[data-order=manual]")), existing = Sortable.get(list);
      existing?.option("sort", sort);
      if (!existing) new Sortable(list, {
        group: "board", sort, draggable: ".card",
        filter: ".card:not([data-movable]), form, details, button, input, select", preventOnFilter: false,
        delay: 200, delayOnTouchOnly: true, touchStartThreshold: 6, emptyInsertThreshold: 24, ...AUTOSCROLL,
        animation: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 160,
        onStart: start, onEnd: drop,
      });
    }
  };
  if (!window.Sortable) return;
  document.addEventListener("htmx:after:swap", initialize);
  initialize();
})();
