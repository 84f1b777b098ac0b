// Discards stale responses of parts that reload themselves, and loads the parts again.
(() => {
  const requestedAt = new Map(); // by the id of a part: when its latest request was sent, in ms
  const reload = (part) => htmx.ajax("GET", part.getAttribute("hx-get"), { source: part });
  const reloadsItself = ({ sourceElement, target, request }) =>
    sourceElement.getAttribute?.("hx-get") && target === sourceElement && request.method === "GET";

  // The parts around or inside a part that were requested after it: their content can be newer.
  const newerParts = (ctx, isRelated) => [...requestedAt]
    .filter(([, at]) => at > ctx.requestedAt)
    .map(([id]) => document.getElementById(id))
    .filter((part) => part && part !== ctx.sourceElement && isRelated(part));

  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    const { id } = ctx.sourceElement;
    if (!id || ctx.request.method !== "GET") return;
    ctx.requestedAt = performance.now();
    requestedAt.set(id, ctx.requestedAt);
  });

  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx } = event.detail, part = ctx.sourceElement;
    if (!reloadsItself(ctx)) return;
    const { pathname, search } = new URL(part.getAttribute("hx-get"), location.href);
    // The address has changed since the request (another filter or item), or a part around this one was loaded since.
    if (pathname + search !== ctx.request.action || newerParts(ctx, (other) => other.contains(part)).length) {
      event.preventDefault();
      reload(part);
    }
  });

  // A card that was loaded after its board was requested can be newer than the board's response.
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    if (reloadsItself(ctx)) newerParts(ctx, (other) => ctx.sourceElement.contains(other)).forEach(reload);
  });
})();
