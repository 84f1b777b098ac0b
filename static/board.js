// Moves the cards of a board by mouse, touch and keyboard. Inside [data-board], every list [data-column="status"]
// accepts cards [data-movable]; a move submits the card's form[data-move] with `to`, like its menu.
// The board is not refreshed while a card is dragged, but right afterwards.
(() => {
  let dragged, delayedParts = new Set();
  const column = (list) => list.closest("[data-column]")?.dataset.column;

  const move = (card, to, revert) => {
    const form = card.querySelector("form[data-move]");
    if (!form) return;
    card.dataset.saving = "";
    const finish = (event) => {
      if (event.detail.ctx?.sourceElement !== form) return;
      const status = event.detail.ctx.response?.status;
      if (event.type === "htmx:after:request" && status < 400) return;
      if (event.type === "htmx:finally:request" && status) { /* the response is already on the page */ }
      else revert?.();
      if (event.type !== "htmx:finally:request") return;
      delete card.dataset.saving;
      for (const name of WATCHED) document.removeEventListener(name, finish);
    };
    for (const name of WATCHED) document.addEventListener(name, finish);
    htmx.ajax("POST", form.getAttribute("action"), { source: form, values: { to } });
  };
  const WATCHED = ["htmx:after:request", "htmx:error", "htmx:finally:request"];

  const drop = ({ item, from, to, oldDraggableIndex }) => {
    const next = from.querySelectorAll("[data-movable]")[oldDraggableIndex] ?? null;
    const revert = () => { if (item.isConnected && from.isConnected) from.insertBefore(item, next); };
    dragged = undefined;
    for (const over of document.querySelectorAll("[data-over]")) delete over.dataset.over;
    if (column(from) === column(to)) revert();
    else move(item, column(to), revert);
    for (const part of delayedParts) if (part.isConnected) htmx.ajax("GET", part.getAttribute("hx-get"), { source: part });
    delayedParts = new Set();
  };

  const over = ({ to }) => {
    for (const old of document.querySelectorAll("[data-over]")) delete old.dataset.over;
    to.closest(".col").dataset.over = "";
  };

  const initialize = () => {
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

  // Delay the refresh of the board while a card is dragged.
  const delayRefresh = (event) => {
    const part = event.detail.ctx.sourceElement;
    if (!dragged || event.detail.ctx.request.method !== "GET" || !part.contains?.(dragged)) return;
    event.preventDefault();
    delayedParts.add(part);
  };
  document.addEventListener("htmx:before:request", delayRefresh);
  document.addEventListener("htmx:before:swap", delayRefresh);
  document.addEventListener("htmx:after:swap", initialize);

  // ⇧← and ⇧→ move the focused card by one column.
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

  // A phone shows one column at a time: links [data-show-col="status"] select it. The selected column stays
  // visible after a refresh.
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
  initialize();
})();
