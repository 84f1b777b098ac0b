// Discards stale responses of parts that reload themselves.
(() => {
  const MAX_CARDS = 5; // parts that are loaded again one by one; for more of them, what contains them is loaded
  const requestedAt = new Map(); // by the id of a part: when its latest request was sent, in ms
  const reload = (part) => htmx.ajax("GET", part.getAttribute("hx-get"), { source: part });
  const isPart = (element) => element?.hasAttribute?.("hx-get") && !element.hasAttribute("hx-target");
  const reloadsItself = ({ sourceElement, target, request }) =>
    isPart(sourceElement) && target === sourceElement && request.method === "GET";

  // The parts around or inside a part that were requested after it: their content is newer.
  const newerParts = (ctx, isRelated) => [...requestedAt]
    .filter(([, at]) => at > ctx.requestedAt)
    .map(([id]) => document.getElementById(id))
    .filter((part) => isPart(part) && part !== ctx.sourceElement && isRelated(part));

  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    const { id } = ctx.sourceElement;
    if (!id || ctx.request.method !== "GET") return;
    ctx.requestedAt = performance.now();
    requestedAt.set(id, ctx.requestedAt);
  });

  // A failed request brings nothing newer.
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    if (!(ctx.response?.status < 400)) requestedAt.delete(ctx.sourceElement?.id);
  });

  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx } = event.detail, part = ctx.sourceElement;
    if (!reloadsItself(ctx)) return;
    if (newerParts(ctx, (other) => other.contains(part)).length) return event.preventDefault();
    // The address has changed since the request: another filter or item.
    const { pathname, search } = new URL(part.getAttribute("hx-get"), location.href);
    if (pathname + search === ctx.request.action) return;
    event.preventDefault();
    reload(part);
  });

  // A card that was loaded after its board was requested is newer than the response of the board.
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    if (!reloadsItself(ctx)) return;
    const newer = newerParts(ctx, (other) => ctx.sourceElement.contains(other));
    if (newer.length > MAX_CARDS) reload(ctx.sourceElement);
    else newer.forEach(reload);
  });
})();
