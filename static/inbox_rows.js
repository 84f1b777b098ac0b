// Rows of the inbox that change one by one. #row-updates receives the rows of approvals that a decision or an event has
// changed; they are moved to their place in the list. A row [data-place] waits, [data-decided] is decided, and [data-gone]
// is not listed any more. [data-total] is the number of rows on all pages. After a decision [data-shown] is the row of the
// item that is shown now, and [data-refresh] the address of the list that shows it. A change of one of its [data-tasks]
// changes a row, too. Where a row has no place, the list is loaded again: for identical requests, and if the item that
// is shown has changed or is on another page.
(() => {
  const MAX_ROWS = 5; // that are loaded one by one
  const DELAY = 200; // ms in which events are collected
  const changed = new Set(); // ids of approvals
  const requestedAt = new Map(); // by id of an approval: when its row was requested, in ms
  const startedAt = new WeakMap(); // requests of the list
  let timer, isLoading = false;
  const sending = new Set(); // changes whose responses have not arrived: they contain their rows

  const find = () => document.getElementById("inbox");
  const box = () => document.getElementById("row-updates");
  const reload = () => htmx.trigger(document.body, "inbox");
  const rowsIn = (list) => [...list.querySelectorAll("[data-item]")];
  const rowOf = (id) => rowsIn(find()).find((row) => row.id === id && !box().contains(row));
  const isShown = (id) => document.getElementById(`detail-${id}`);

  const load = () => {
    timer = undefined;
    if (isLoading || sending.size || !changed.size || !box()) return;
    const ids = [...changed];
    changed.clear();
    if (ids.length > MAX_ROWS || ids.some(isShown)) return reload();
    const url = new URL(box().dataset.address, location.href);
    for (const id of ids) {
      url.searchParams.append("id", id);
      requestedAt.set(id, performance.now());
    }
    isLoading = true;
    htmx.ajax("GET", url.pathname + url.search, { source: box(), target: box(), swap: "innerHTML" });
  };
  const loadSoon = (id) => {
    changed.add(id);
    timer ??= setTimeout(load, DELAY);
  };
  document.addEventListener("live:message", ({ detail: { name } }) => {
    const [, kind, id] = /^(approval|task)-([0-9a-f-]{36})$/.exec(name) ?? [];
    if (!id || !find()) return;
    if (kind === "approval") return loadSoon(id);
    for (const part of find().querySelectorAll(`[data-tasks~="${id}"]`)) loadSoon(part.id.replace(/^\w+-/, ""));
  });

  // A place is "others.microseconds.id.text": the text comes before the time.
  const keyOf = ({ dataset: { place } }) => {
    const [others, time, id, ...text] = place.split(".");
    return [others, text.join("."), Number(time), id];
  };
  const isAfter = (one, other) => {
    const [a, b] = [keyOf(one), keyOf(other)], at = a.findIndex((value, index) => value !== b[index]);
    return at >= 0 && a[at] > b[at];
  };

  const replace = (old, row) => {
    const hadFocus = old.contains(document.activeElement);
    if (old.ariaCurrent) row.ariaCurrent = old.ariaCurrent;
    old.replaceWith(row);
    if (hadFocus) row.querySelector("a[href]").focus({ preventScroll: true });
  };
  const insert = (row) => {
    const list = find().querySelector(`[data-rows="${row.dataset.place[0]}"]`);
    if (!list) return reload();
    const rows = rowsIn(list).filter((one) => one.dataset.place), next = rows.find((one) => isAfter(one, row));
    const isFirst = next && next === rows[0] && list === find().querySelector("[data-rows]");
    const isLast = !next && list === [...find().querySelectorAll("[data-rows]")].pop();
    const isOnPage = !(isFirst && find().querySelector("a[rel=prev]")) && !(isLast && find().querySelector("a[rel=next]"));
    if (isOnPage) list.insertBefore(row, next ?? null);
  };
  // Returns whether the list has to be loaded again.
  const place = (row) => {
    const old = rowOf(row.id), decided = document.getElementById("decided-rows");
    if ([old, row].some((one) => one?.hasAttribute("data-equal")) || row.hasAttribute("data-reload")) return true;
    const isSame = old && old.dataset.place === row.dataset.place && old.hasAttribute("data-decided") === row.hasAttribute("data-decided");
    if (isSame && !row.hasAttribute("data-gone")) replace(old, row);
    else {
      old?.remove();
      if (row.hasAttribute("data-decided")) decided?.prepend(row);
      else if (row.dataset.place) insert(row);
    }
    return false;
  };
  const updatePager = (total) => {
    const words = find().querySelector("[data-first]"), first = Number(words?.dataset.first);
    const count = find().querySelectorAll("[data-rows] > [data-place]:not([data-member])").length;
    if (words) words.textContent = getText("places", { first, last: first + count - 1, total });
  };
  const placeAll = () => {
    const rows = [...box().children].filter((row) => row.id), state = box().querySelector("[data-total]");
    const { shown, refresh, total } = state?.dataset ?? {};
    if (refresh) find().setAttribute("hx-get", refresh);
    const mustReload = rows.map(place).some(Boolean);
    if (shown) {
      for (const row of rowsIn(find())) row.ariaCurrent = row.id === shown ? "true" : null;
    }
    if (total) updatePager(total);
    box().replaceChildren();
    if (mustReload || (shown && !rowOf(shown))) reload();
  };

  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    startedAt.set(ctx, performance.now());
    if (ctx.request.method !== "GET") sending.add(ctx);
  });
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    sending.delete(ctx);
    if (!find() || !box()) return;
    if (box().childElementCount) return placeAll();
    // Rows that were requested after the list are newer than its response.
    if (ctx.target?.id !== "inbox") return;
    for (const [id, at] of requestedAt) {
      if (at > startedAt.get(ctx)) loadSoon(id);
      else requestedAt.delete(id);
    }
  });
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    sending.delete(ctx);
    if (ctx.sourceElement?.id === "row-updates") isLoading = false;
    load();
  });
})();
