// Keeps what a board already shows. Cards, rows and columns have [data-hash], the hash of their content from the server.
// Requests for the board name these hashes, and the response has an empty element [data-keep="hash"] in the place of
// each that is the same. If the page has changed in the meantime, the board is requested again.
(() => {
  const HEADER = "Board-Cards", MAX_HASHES = 800; // 7 kB; servers limit the length of a header
  const boardView = () => document.getElementById("board-view");
  const isBoardRequest = ({ target, swap }) => target?.id === "board-view" && swap?.startsWith("outerMorph");
  let different = []; // elements to keep that are not as the response expects them

  // Sent with the request and not earlier: requests wait for each other.
  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    if (!isBoardRequest(ctx)) return;
    const shown = ["section[data-hash]", "[data-task][data-hash]"].flatMap((each) => [...ctx.target.querySelectorAll(each)]);
    const hashes = shown.map((element) => element.dataset.hash);
    if (hashes.length) ctx.request.headers[HEADER] = hashes.slice(0, MAX_HASHES).join(",");
  });

  htmx.registerExtension("known-cards", {
    htmx_before_morph_node: (_target, { oldNode, newNode }) => {
      const kept = newNode.dataset?.keep;
      if (kept === undefined) return true;
      if (oldNode.dataset.hash !== kept) different.push(oldNode);
      return false;
    },
  });

  // The cards of a column are not those of its hash.
  const forgetColumn = (card) => { delete card.parentElement?.closest("[data-hash]")?.dataset.hash; };

  // Links keep the filters of the board.
  const updateLinks = (query) => {
    for (const link of document.querySelectorAll("#board-view [data-hash] h3 a")) {
      const address = link.pathname + query;
      if (link.getAttribute("href") !== address) link.setAttribute("href", address);
    }
  };

  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    const card = ctx.sourceElement?.closest?.("[data-hash]");
    if (card && ctx.target === card) forgetColumn(card);
    const view = boardView();
    if (!view || !isBoardRequest(ctx)) return;
    updateLinks(view.querySelector("[data-query]")?.dataset.query ?? "");
    const missing = [...view.querySelectorAll("[data-keep]")];
    const isIncomplete = different.length + missing.length > 0;
    [...different, ...missing].forEach(forgetColumn);
    missing.forEach((element) => element.remove());
    different = [];
    if (isIncomplete) htmx.trigger(view, "part:reload");
  });
})();
