// A list beside its current item: in [data-master-detail="id"], [aria-current] is on the item whose content the element
// with this id shows. J and K open the item that they reach, without an entry in the history. An item that is opened
// is current at once; until its content arrives, the element is busy and inert, so that keys and buttons never act on
// an item that is not current. Items are [data-item], with a link with hx-get, or [data-shows] if its page is another
// one. At the ends of a page J and K follow the links [rel=next] and [rel=prev] of the list.
window.masterDetail = (() => {
  const HELD_DELAY = 120; // ms until a held key loads the item that it has reached
  let opening; // { row, request, byKey }: what is being loaded; `row` is the id of the item, undefined for a page
  let shown; // the id of the item that was shown before
  let chosen; // the id of the item that was opened after the last change was sent
  let order = []; // the ids of the items of the page that contained the item that is shown
  let heldTimer, pageByKey = false;

  const find = () => document.querySelector("[data-master-detail]");
  const detailOf = (root) => document.getElementById(root.dataset.masterDetail);
  const rowsOf = (root) => [...root.querySelectorAll("[data-item]")];
  const linkOf = (row) => row.querySelector("a[href]");
  const currentOf = (root) => rowsOf(root).find((row) => row.ariaCurrent === "true");
  const idsOf = (root) => rowsOf(root).filter((row) => !row.hasAttribute("data-decided")).map(({ id }) => id);
  const rowOf = (root) => root.querySelector(`[data-item][id="${CSS.escape(opening.row ?? "")}"]`);

  const mark = (root) => {
    const row = rowOf(root), detail = detailOf(root);
    if (row) for (const one of rowsOf(root)) one.ariaCurrent = one === row ? "true" : null;
    detail.ariaBusy = "true";
    detail.inert = true;
    decisionGuard.update();
  };
  const begin = (root, started) => {
    if (!opening) shown = currentOf(root)?.id;
    clearTimeout(heldTimer);
    opening = started;
    chosen = started.row;
    mark(root);
  };
  const cancel = (root) => {
    const detail = detailOf(root), hadFocus = rowOf(root)?.contains(document.activeElement);
    opening = undefined;
    for (const one of rowsOf(root)) one.ariaCurrent = one.id === shown ? "true" : null;
    detail.ariaBusy = null;
    detail.inert = false;
    const row = currentOf(root);
    if (hadFocus && row) linkOf(row).focus();
    decisionGuard.update();
  };

  const focus = (row) => {
    row.scrollIntoView({ block: "nearest" });
    linkOf(row).focus({ preventScroll: true });
  };
  const load = (root) => {
    const row = rowOf(root);
    if (!row) return cancel(root);
    const link = linkOf(row), address = link.getAttribute("hx-get") ?? link.dataset.shows;
    const replace = link.getAttribute("hx-push-url") ?? address;
    htmx.ajax("GET", address, { source: link, target: root, swap: "outerMorph", push: null, replace });
  };
  const open = (root, row, isHeld) => {
    focus(row);
    begin(root, { row: row.id, byKey: true });
    if (isHeld) heldTimer = setTimeout(load, HELD_DELAY, root);
    else load(root);
  };

  const isBetween = (link, before, after) => (!before || before.compareDocumentPosition(link) & Node.DOCUMENT_POSITION_FOLLOWING)
    && (!after || link.compareDocumentPosition(after) & Node.DOCUMENT_POSITION_FOLLOWING);
  // The item after or before the one that is shown. If somebody has decided it meanwhile, it is no longer in its place.
  const neighbour = (root, by) => {
    const rows = rowsOf(root), focused = rows.find((row) => row.contains(document.activeElement)), current = currentOf(root);
    const at = rows.indexOf(focused ?? current), place = order.indexOf(shownId(root));
    if (place < 0 || (rows[at] && !rows[at].hasAttribute("data-decided"))) return [rows[at], rows[at + by] ?? (at < 0 ? rows[0] : undefined)];
    const others = by > 0 ? order.slice(place + 1) : order.slice(0, place).reverse();
    const id = others.find((one) => idsOf(root).includes(one));
    return [rows[at], id ? document.getElementById(id) : rows[0]];
  };
  const shownId = (root) => opening?.row ?? currentOf(root)?.id ?? shown;

  // Moves by 1 or -1. Returns false if there is no such list, or if it does not show the item beside it.
  const move = (by, isHeld) => {
    const root = find();
    if (!root || !detailOf(root).checkVisibility({ visibilityProperty: true })) return false;
    const [from, to] = neighbour(root, by);
    const page = root.querySelector(`a[rel="${by > 0 ? "next" : "prev"}"]`);
    if (page && (by > 0 ? isBetween(page, from, to) : !to)) {
      if (opening && !opening.row) return true;
      pageByKey = true;
      page.click();
      pageByKey = false;
    } else if (to) open(root, to, isHeld);
    return true;
  };

  // Whether a control in the element is of another item than the one with the focus.
  const isOfOther = (control) => {
    const root = find(), row = document.activeElement?.closest("[data-item]");
    return Boolean(root && row && root.contains(row) && detailOf(root).contains(control) && row.ariaCurrent !== "true");
  };

  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    const root = find();
    if (ctx.request.method !== "GET") chosen = undefined;
    else if (root && ctx.target === root && ctx.sourceElement !== root && root.contains(ctx.sourceElement)) {
      const row = ctx.sourceElement.closest("[data-item]");
      if (!opening?.row || opening.row !== row?.id || opening.request) begin(root, { row: row?.id, byKey: pageByKey });
      opening.request = ctx;
      ctx.opensItem = true;
      if (opening.byKey && ctx.push) ctx.replace = ctx.push;
      if (opening.byKey || ctx.push === location.pathname + location.search) ctx.push = null;
    }
  });
  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx } = event.detail;
    if (ctx.opensItem && ctx !== opening?.request) event.preventDefault();
  });
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    const root = find();
    if (!root) return;
    const isOpened = opening && ctx === opening.request && ctx.response.status < 400;
    if (isOpened) {
      const { byKey, row: id } = opening, row = currentOf(root);
      opening = undefined;
      const detail = root.querySelector(".detail__scroll");
      if (detail) (getComputedStyle(detail).overflowY === "visible" ? window : detail).scrollTo(0, 0); // the window on a phone
      if (byKey && row && !row.contains(document.activeElement)) focus(row);
      else if (!id) row?.scrollIntoView({ block: "nearest" });
    } else if (opening) return mark(root);
    const row = currentOf(root), ids = idsOf(root);
    if (row && (isOpened || ids.includes(row.id))) order = ids;
    if (row) shown = row.id;
    // What was opened while a change was sent is shown, and not what the server chose after the change.
    const later = ctx.request.method !== "GET" && chosen && document.getElementById(chosen);
    if (later && later !== row) open(root, later);
  });
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    const root = find();
    if (root && opening && ctx === opening.request) cancel(root);
  });
  if (find()) order = idsOf(find());
  return { move, isOfOther };
})();
