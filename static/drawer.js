// The drawer beside a page: <… id="drawer"> is empty and hidden, or contains a part that a link has loaded, for
// example a link with [data-in-drawer].
// A link with [data-close-drawer] leads to the page without it; with scripts it only closes the drawer. With the value
// "previous" the address becomes that of the board as it is shown, for example with filters.
// Back and Forward between a board and what its drawer has shown change only the drawer.
// The title of the page is that of what the drawer shows ([data-title]), so that tabs and the history name it.
window.boardDrawer = (() => {
  const drawer = () => document.getElementById("drawer");
  let opener, opening; // the link, and the last request that opens the drawer
  let loading; // the last request for what it shows, while it runs
  const isOpening = () => drawer()?.ariaBusy === "true" && !drawer().hasChildNodes();
  const linkOf = (id) => document.getElementById(id ?? "")?.querySelector("a[href]");
  const countPrefix = () => { // as in live.js
    const count = Number(document.getElementById("rail")?.dataset.needs ?? 0);
    return count ? `(${count}) ` : "";
  };
  const [, pageTitle, product] = /^(.*?)( · [^·]*)?$/.exec(document.title.slice(countPrefix().length));
  const updateTitle = () => {
    const title = countPrefix() + (drawer().dataset.title ?? pageTitle) + (product ?? "");
    if (document.title !== title) document.title = title;
  };
  let marked = document.getElementById("drawer")?.dataset.shows; // the item that was marked last, which is in view
  const markShown = () => {
    if (!drawer()) return; // the page has no drawer
    updateTitle();
    for (const item of document.querySelectorAll("[data-item][aria-current]")) item.removeAttribute("aria-current");
    const { shows } = drawer().dataset, item = document.getElementById(shows ?? "");
    item?.setAttribute("aria-current", "true");
    if (shows !== marked) item?.scrollIntoView({ block: "nearest", inline: "nearest" });
    marked = shows;
  };
  const close = (movesFocus = true) => {
    const link = opener?.isConnected ? opener : linkOf(drawer().dataset.shows);
    const empty = document.createElement("div");
    empty.id = "drawer";
    empty.hidden = true;
    drawer().setAttribute("hx-ignore", "");
    htmx.process(drawer(), true); // htmx forgets it, and its parts do not listen to the page any more
    drawer().replaceWith(empty);
    markShown();
    if (movesFocus) link?.focus();
  };
  const load = (address, source, more) => htmx.ajax("GET", address, { source, target: drawer(), swap: "outerHTML", ...more });
  // The address is in the history already; a link of the list would add it again.
  const open = (address) => load(address, linkOf(`task-${/\/tasks\/([^/?]+)/.exec(address)?.[1]}`) ?? document.body, { push: "false" });

  // The address of the board as it is shown.
  const currentBoard = () => {
    const part = document.getElementById("board-view")?.getAttribute("hx-get");
    if (!part || !drawer()) return undefined;
    const address = new URL(part, location.href);
    address.searchParams.delete("refused");
    return { path: address.pathname.replace(/\/columns$/, ""), search: address.search };
  };
  const addressWithout = (closer) => {
    const board = closer.dataset.closeDrawer === "previous" && currentBoard();
    return board ? board.path + board.search : closer.getAttribute("href") ?? location.pathname;
  };
  // The address that closes the drawer, if it is open.
  const closedAddress = () => {
    const closer = drawer()?.querySelector("[data-close-drawer]");
    return closer ? addressWithout(closer) : undefined;
  };
  // Back and Forward have changed the address already.
  const cancel = () => {
    const board = currentBoard();
    opening.request.abort();
    if (board && location.pathname !== board.path) pageHistory.push(board.path + board.search);
  };
  const restore = (path) => {
    const board = currentBoard(), { pathname, search } = new URL(path, location.href);
    if (!board || !pathname.startsWith(board.path)) return false;
    const rest = pathname.slice(board.path.length), hasDrawer = /^\/(tasks\/[^/]+|feed)$/.test(rest);
    if (!hasDrawer && rest) return false;
    if (rest !== "/feed" && search !== board.search) return false; // other filters: the board is loaded
    if (hasDrawer) open(path);
    else if (!drawer().hidden) close();
    return true;
  };

  // A board that is filtered or sorted keeps the open task in the address, also if its response arrives late.
  document.addEventListener("htmx:before:history:update", ({ detail: { history: change } }) => {
    const board = currentBoard(), { pathname, search } = new URL(change.path, location.href);
    if (!board || drawer().hidden || pathname !== board.path || !location.pathname.startsWith(`${board.path}/tasks/`)) return;
    change.path = location.pathname + search;
  });
  document.addEventListener("click", (event) => {
    const closer = event.target.closest("[data-close-drawer]");
    if (!closer || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    pageHistory.push(addressWithout(closer));
    close();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-in-drawer]");
    if (!link || !drawer() || event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    load(link.getAttribute("href"), link, { push: "true" });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (event.target.matches("input, textarea, select")) return event.target.blur();
    if (isOpening()) return cancel();
    drawer()?.querySelector("[data-close-drawer]")?.click();
  });
  document.addEventListener("htmx:before:request", (event) => {
    const { sourceElement, target, request } = event.detail.ctx;
    if (target?.id !== "drawer") return;
    if (!target.isConnected) return event.preventDefault(); // a second use of a link that was in it
    if (request.method === "GET" && sourceElement !== target) {
      loading?.request.abort(); // the drawer shows what was opened last: htmx drops a response whose target was replaced
      loading = event.detail.ctx;
    }
    if (sourceElement.localName === "a") opener = sourceElement;
    if (!target.hidden && !isOpening()) return;
    // The board makes room at once. Later, nothing tells the reader why it moves.
    opening = event.detail.ctx;
    pageHistory.save();
    target.hidden = false;
    target.className = "drawer";
    target.ariaBusy = "true";
  });
  document.addEventListener("htmx:finally:request", (event) => {
    if (event.detail.ctx === loading) loading = undefined;
    if (event.detail.ctx === opening && isOpening()) close(document.activeElement === document.body); // nothing has arrived
  });
  document.addEventListener("htmx:after:swap", (event) => {
    const { sourceElement, target, request } = event.detail.ctx;
    markShown();
    const isDrawer = target === "#drawer" || target?.id === "drawer";
    if (isDrawer && request.method === "GET" && sourceElement === opener) drawer()?.focus({ preventScroll: true });
  });
  return { exists: () => Boolean(drawer()), closedAddress, isOpening, open, restore };
})();
