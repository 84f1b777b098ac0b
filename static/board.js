// A board's cards move by mouse, by finger and by key. Inside [data-board], every list [data-column="status"]
// takes cards [data-movable]; a move submits the card's own form[data-move] with `to`, as its menu does.
// The board is not refreshed under a card that is being dragged, but right afterwards.
(() => {
  let dragged, held = new Set();
  const column = (list) => list.closest("[data-column]")?.dataset.column;

  const move = (card, to, putBack) => {
    const form = card.querySelector("form[data-move]");
    if (!form) return;
    card.dataset.saving = "";
    const settle = (event) => {
      if (event.detail.ctx?.sourceElement !== form) return;
      const status = event.detail.ctx.response?.status;
      if (event.type === "htmx:after:request" && status < 400) return;
      if (event.type === "htmx:finally:request" && status) { /* answered: what came back is on the page */ }
      else putBack?.();
      if (event.type !== "htmx:finally:request") return;
      delete card.dataset.saving;
      for (const name of WATCHED) document.removeEventListener(name, settle);
    };
    for (const name of WATCHED) document.addEventListener(name, settle);
    htmx.ajax("POST", form.getAttribute("action"), { source: form, values: { to } });
  };
  const WATCHED = ["htmx:after:request", "htmx:error", "htmx:finally:request"];

  const drop = ({ item, from, to, oldDraggableIndex }) => {
    const next = from.querySelectorAll("[data-movable]")[oldDraggableIndex] ?? null;
    const putBack = () => { if (item.isConnected && from.isConnected) from.insertBefore(item, next); };
    dragged = undefined;
    for (const over of document.querySelectorAll("[data-over]")) delete over.dataset.over;
    if (column(from) === column(to)) putBack();
    else move(item, column(to), putBack);
    for (const part of held) if (part.isConnected) htmx.ajax("GET", part.getAttribute("hx-get"), { source: part });
    held = new Set();
  };

  const over = ({ to }) => {
    for (const old of document.querySelectorAll("[data-over]")) delete old.dataset.over;
    to.closest(".col").dataset.over = "";
  };

  const wire = () => {
    if (!window.Sortable) return;
    for (const list of document.querySelectorAll("[data-board] [data-column]")) {
      if (Sortable.get(list)) continue;
      new Sortable(list, {
        group: "board", sort: false, draggable: "[data-movable]", filter: "form, details, button, input, select", preventOnFilter: false,
        delay: 200, delayOnTouchOnly: true, touchStartThreshold: 6, emptyInsertThreshold: 24,
        animation: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 160,
        onStart: ({ item }) => { dragged = item; }, onMove: over, onEnd: drop,
      });
    }
    if (shownColumn) show(shownColumn);
  };

  // A board that asks for itself while a card is in the air waits until it has landed.
  const wait = (event) => {
    const part = event.detail.ctx.sourceElement;
    if (!dragged || event.detail.ctx.request.method !== "GET" || !part.contains?.(dragged)) return;
    event.preventDefault();
    held.add(part);
  };
  document.addEventListener("htmx:before:request", wait);
  document.addEventListener("htmx:before:swap", wait);
  document.addEventListener("htmx:after:swap", wire);

  // ⇧← and ⇧→ on a card that has the focus move it by one column.
  document.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const card = event.shiftKey && by && document.activeElement?.closest("[data-board] [data-movable]");
    if (!card || event.target.matches("input, textarea, select")) return;
    const statuses = [...new Set([...document.querySelectorAll("[data-board] [data-column]")].map((list) => list.dataset.column))];
    const to = statuses[statuses.indexOf(column(card.parentElement)) + by];
    if (!to) return;
    event.preventDefault();
    move(card, to);
  });

  // On a phone one column shows at a time: links [data-show-col="status"] choose it. The column that one
  // looks at stays, also when the server would by now begin with another.
  let shownColumn = document.querySelector("[data-show-col][aria-current]")?.dataset.showCol;
  const show = (status) => {
    shownColumn = status;
    for (const link of document.querySelectorAll("[data-show-col]")) {
      if (link.dataset.showCol === status) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    for (const col of document.querySelectorAll(".board .col")) col.toggleAttribute("data-show", col.dataset.status === status);
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-show-col]");
    if (!link) return;
    event.preventDefault();
    show(link.dataset.showCol);
  });
  wire();
})();
