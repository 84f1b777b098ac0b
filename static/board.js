// Moves the cards of a board, by keyboard and for the scripts of dragging and of the menu, which trigger card:move
// with { to, before, after, revert }: `to` is a status, `before` and `after` are the ids of the cards around the new
// place. A move posts them to the address of [data-moves], with the id of the task.
(() => {
  const WATCHED = ["htmx:after:request", "htmx:error", "htmx:finally:request"];
  const menu = document.getElementById("card-menu");

  const move = (card, { revert, ...values }) => {
    const address = card.closest("[data-moves]")?.dataset.moves;
    if (!address || !menu) return;
    card.dataset.saving = "";
    const finish = (event) => {
      const { ctx } = event.detail;
      if (ctx?.values !== values) return;
      const status = ctx.response?.status;
      if (event.type === "htmx:after:request" && status < 400) return;
      if (event.type === "htmx:finally:request" && status) { /* the response is already on the page */ }
      else revert?.();
      if (event.type !== "htmx:finally:request") return;
      delete card.dataset.saving;
      for (const name of WATCHED) document.removeEventListener(name, finish);
    };
    for (const name of WATCHED) document.addEventListener(name, finish);
    htmx.ajax("POST", address.replace("{id}", card.dataset.task), { source: menu, values });
  };
  document.addEventListener("card:move", ({ target, detail }) => move(target, detail));

  // ⇧← and ⇧→ move the focused card by one column.
  document.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const card = event.shiftKey && by && document.activeElement?.closest("[data-board] [data-movable]");
    if (!card || event.target.matches("input, textarea, select")) return;
    const statuses = [...new Set([...document.querySelectorAll("[data-board] [data-column]")].map((list) => list.dataset.column))];
    const to = statuses[statuses.indexOf(card.closest("[data-column]").dataset.column) + by];
    if (!to) return;
    event.preventDefault();
    move(card, { to });
  });

  // In the manual order ⇧↑ and ⇧↓ move the focused card by one place, as far as its list reaches.
  document.addEventListener("keydown", (event) => {
    const card = event.shiftKey && document.activeElement?.closest("[data-order=manual][data-board] [data-task]");
    if (!card || event.target.matches("input, textarea, select")) return;
    const other = { ArrowUp: card.previousElementSibling, ArrowDown: card.nextElementSibling }[event.key];
    if (!other?.dataset.task) return;
    event.preventDefault();
    const to = card.closest("[data-status]").dataset.status;
    move(card, { to, [event.key === "ArrowUp" ? "before" : "after"]: other.dataset.task });
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
  document.addEventListener("htmx:after:swap", () => { if (shownColumn) show(shownColumn); });
})();
