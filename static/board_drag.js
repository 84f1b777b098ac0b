// Drags the cards of a board by mouse and touch. Inside [data-board], every list [data-column="status"] contains cards;
// those with [data-movable] can be dragged, and dropped anywhere on a column: on its heading too, and on a folded one.
// In the manual order a card lands before the first card whose middle is below the pointer. What is near an edge of a
// column, of the board or of the window scrolls. A card that is dropped elsewhere returns.
(() => {
  const DROPS = ["drop", "touchend", "pointerup", "mouseup"]; // other events end a drag without a drop
  const POINTER = ["dragover", "touchmove", "pointermove"];
  const AUTOSCROLL = { forceAutoScrollFallback: true, scrollSensitivity: 48, scrollSpeed: 14 }; // px, px per tick
  let over, next; // the column below the pointer; what followed the dragged card
  const cardId = (element) => element?.dataset.task ?? "";

  const pointOf = (event) => event.changedTouches?.[0] ?? event;
  const columnAt = (event) => {
    const { clientX, clientY } = pointOf(event);
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

  // Sortable ignores the pointer for 30 ms after it has moved the card, so the card may still be at an earlier place.
  const place = (item, column, event) => {
    const lists = [...column.querySelectorAll("[data-column]")], boxOf = (element) => element.getBoundingClientRect();
    if (!lists.length) return; // the column is folded
    const y = Math.max(pointOf(event).clientY, boxOf(lists[0].parentNode).top); // not among cards that are scrolled out
    const list = lists.findLast((one) => boxOf(one).top <= y) ?? lists[0];
    const others = [...list.querySelectorAll(".card")].filter((card) => card !== item);
    list.insertBefore(item, others.find((card) => boxOf(card).top + boxOf(card).height / 2 > y) ?? null);
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
    const isPlaced = column?.closest("[data-order=manual]");
    const values = { to: column?.dataset.status };
    values.revert = () => { if (item.isConnected && from.isConnected) from.insertBefore(item, following?.parentNode === from ? following : null); };
    if (isPlaced) place(item, column, originalEvent);
    if (!column?.contains(item)) values.revert();
    else if (isPlaced) Object.assign(values, { before: cardId(item.nextElementSibling), after: cardId(item.previousElementSibling) });
    const stays = item.parentNode === from && item.nextElementSibling === following;
    for (const changed of [from, to, column]) delete changed?.closest("[data-hash]")?.dataset.hash; // no longer as the server sent it
    delete item.dataset.used;
    if (column && !(column.contains(from) && (stays || !isPlaced))) item.dispatchEvent(new CustomEvent("card:move", { bubbles: true, detail: values }));
    else values.revert();
    document.dispatchEvent(new Event("part:released"));
  };

  const sortables = new Set(); // Sortable knows the lists of removed columns until it is told
  const initialize = () => {
    for (const one of sortables) if (!one.el.isConnected) { one.destroy(); sortables.delete(one); }
    for (const list of document.querySelectorAll("[data-board] [data-column]")) {
      const sort = Boolean(list.closest("[data-order=manual]")), existing = Sortable.get(list);
      existing?.option("sort", sort);
      if (!existing) sortables.add(new Sortable(list, {
        group: "board", sort, draggable: ".card",
        filter: ".card:not([data-movable]), form, details, button, input, select", preventOnFilter: false,
        delay: 200, delayOnTouchOnly: true, touchStartThreshold: 6, emptyInsertThreshold: 24, invertSwap: true, ...AUTOSCROLL,
        animation: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 160,
        onStart: start, onEnd: drop,
      }));
    }
  };
  if (!window.Sortable) return;
  document.addEventListener("htmx:after:swap", initialize);
  initialize();
})();
