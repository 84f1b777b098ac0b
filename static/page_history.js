// Back, Forward and Reload show a page as it was left: its scroll positions, the item with the focus, and the drawer. The
// session storage of the tab keeps them by address; they are only ids and positions.
// A page that the back/forward cache restores is loaded again: its data is old, and its user may have signed out.
window.pageHistory = (() => {
  const MAX_VIEWS = 30;
  const SCROLLERS = ".page, .work__body, .board, .col__scroll, .inbox__scroll, .detail__scroll";
  const here = () => location.pathname + location.search;
  const read = (name) => { try { return JSON.parse(sessionStorage.getItem(name)); } catch { return null; } };
  const write = (name, value) => { try { sessionStorage.setItem(name, JSON.stringify(value)); } catch { /* storage is not available */ } };
  const root = document.scrollingElement;
  const fillsScreen = matchMedia("(max-width: 52rem)"); // the drawer, which looks like the page of the task there
  let shown = here(); // the address of what the page shows; the location changes before the page does
  let unfinished; // a view whose items are not all loaded
  let isHidden = false; // the page is hidden because another one is being loaded
  let isReopening = false; // the board is shown, and its drawer is loaded again
  let hasScrolled = false; // if nothing has, reading positions would only force a layout while the next page loads
  const hide = () => { isHidden = true; document.documentElement.hidden = true; };

  const listScrollers = () => [root, ...document.querySelectorAll(SCROLLERS)];
  const nameOf = (scroller) => scroller === root ? "" : `${scroller.closest("[id]")?.id} ${scroller.classList[0]}`;
  const edgeOf = (scroller) => scroller === root ? 0 : scroller.getBoundingClientRect().top;
  const isBelow = (item, edge) => item.getBoundingClientRect().bottom > edge;
  // The item that keeps its place: that with the focus if it is visible, else the first visible one.
  const itemAt = (scroller) => {
    const edge = edgeOf(scroller), focused = focusedItem();
    if (focused && scroller.contains(focused) && isBelow(focused, edge) && focused.getBoundingClientRect().top < innerHeight) return focused;
    return [...scroller.querySelectorAll("[data-item][id]")].find((item) => isBelow(item, edge));
  };
  const linkOf = (item) => item?.matches("a, [tabindex]") ? item : item?.querySelector("a[href]");
  const focusedItem = () => document.activeElement?.closest("[data-item][id]");

  const save = () => {
    if (isHidden || isReopening || boardDrawer.isOpening()) return; // or the board has made room for the drawer already
    const scrollers = hasScrolled ? listScrollers().filter(({ scrollTop, scrollLeft }) => scrollTop || scrollLeft) : [];
    const scrolls = scrollers.map((scroller) => {
      const item = scroller.scrollTop ? itemAt(scroller) : undefined;
      const offset = item && item.getBoundingClientRect().top - edgeOf(scroller);
      return { name: nameOf(scroller), left: scroller.scrollLeft, top: scroller.scrollTop, item: item?.id, offset };
    });
    const view = { scrolls, focus: focusedItem()?.id, board: boardDrawer.closedAddress() };
    const others = (read("views") ?? []).filter(([address]) => address !== shown);
    write("views", [...others, [shown, view]].slice(-MAX_VIEWS));
  };

  // The position is that of an item, because what is above it may have changed.
  const scrollTo = (scroller, { left, top, item: id, offset }) => {
    const item = id && document.getElementById(id);
    if (!item) scroller.scrollTo({ left, top, behavior: "instant" });
    else scroller.scrollBy({ left: left - scroller.scrollLeft, top: item.getBoundingClientRect().top - edgeOf(scroller) - offset, behavior: "instant" });
    return Boolean(item) || !id;
  };
  const restore = (view) => {
    const scrollers = new Map(listScrollers().map((scroller) => [nameOf(scroller), scroller]));
    const isComplete = view.scrolls.map((scroll) => !scrollers.has(scroll.name) || scrollTo(scrollers.get(scroll.name), scroll)).every(Boolean);
    if (document.activeElement === document.body && view.focus) linkOf(document.getElementById(view.focus))?.focus({ preventScroll: true });
    unfinished = isComplete ? undefined : view;
  };
  // Cards that are not visible have an estimated height: while [data-restoring] is set, all are laid out.
  const restoreSoon = (view) => {
    history.scrollRestoration = "manual"; // a browser would restore the position of the page that was reloaded
    if (view.scrolls.length) root.dataset.restoring = "";
    restore(view);
    requestAnimationFrame(() => requestAnimationFrame(() => { delete root.dataset.restoring; }));
  };
  addEventListener("scroll", () => { hasScrolled = true; }, { capture: true, passive: true, once: true });
  for (const name of ["wheel", "keydown", "pointerdown"]) addEventListener(name, () => { unfinished = undefined; }, { capture: true, passive: true });
  document.addEventListener("htmx:after:swap", () => { if (unfinished) restoreSoon(unfinished); });

  // The address of a drawer loads the page of the task, so its board is loaded instead, and opens the drawer.
  const reopen = (board) => {
    hide();
    write("reopen", here());
    location.replace(board);
  };
  document.addEventListener("DOMContentLoaded", () => {
    const reopened = read("reopen"), [{ type } = {}] = performance.getEntriesByType("navigation");
    write("reopen", null);
    const view = new Map(read("views")).get(reopened ?? here());
    if (!view) return;
    if (reopened && boardDrawer.exists()) {
      const board = here();
      history.replaceState({ htmx: true }, "", reopened);
      isReopening = true;
      restoreSoon(view);
      boardDrawer.open(reopened).then(() => {
        isReopening = false;
        if (!boardDrawer.closedAddress()) history.replaceState({ htmx: true }, "", board); // the task could not be loaded
        shown = here();
        restoreSoon(view); // the drawer changes the width of the columns
      });
    } else if (type !== "back_forward" && type !== "reload") return;
    else if (view.board && !boardDrawer.exists() && (type === "back_forward" || !fillsScreen.matches)) reopen(view.board);
    else restoreSoon(view);
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    const board = boardDrawer.closedAddress();
    hide();
    if (board) reopen(board);
    else location.reload();
  });
  addEventListener("pagehide", save);
  document.addEventListener("htmx:before:history:update", save);
  document.addEventListener("htmx:after:history:update", () => { shown = here(); });
  document.addEventListener("htmx:before:history:restore", (event) => {
    save();
    const isRestored = boardDrawer.restore(event.detail.path), { board } = new Map(read("views")).get(here()) ?? {};
    if (!isRestored && !board) return; // htmx loads the page again
    event.preventDefault();
    if (!isRestored) return reopen(board); // with other filters, or in another view
    shown = here();
    const view = new Map(read("views")).get(shown);
    if (view && !boardDrawer.closedAddress()) restoreSoon(view); // without the drawer, the columns have another width
  });

  const push = (address) => {
    save();
    history.pushState({ htmx: true }, "", address);
    shown = here();
  };
  return { push, save };
})();
