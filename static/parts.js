// Parts of a page that reload themselves: elements with [hx-get] and without another target, and the cards of a board,
// elements task-{id} inside [data-cards="address with {id}"], which reload when the stream names card-{id}.
// agent-cards-{id} reloads the cards of an agent, or their board if they are many or cannot reload alone.
// current-task-{id} reloads the agents, unless the board shows that no agent is working on the task.
// Stale responses are discarded. Another script reloads a part with the event part:reload.
// A part is not reloaded while an element [data-used] in it is dragged or its menu is open, but right afterwards:
// part:released.
(() => {
  const MAX_CARDS = 5; // parts that are loaded again one by one; for more of them, what contains them is loaded
  const THROTTLE = 500; // ms between two requests for a card
  const requestedAt = new Map(); // by the id of a part: when its latest request was sent, in ms
  const waiting = new Set(); // ids of cards that will be reloaded

  const cardAddress = (element) => {
    const template = element?.id?.startsWith("task-") && element.closest("[data-cards]")?.dataset.cards;
    if (!template) return null;
    const address = template.replace("{id}", element.id.slice("task-".length)), { refused } = element.dataset;
    return refused ? `${address}${address.includes("?") ? "&" : "?"}refused=${refused}` : address;
  };
  // The address with the fields that htmx includes in it.
  const addressOf = (part) => {
    const address = part.getAttribute("hx-get") ?? cardAddress(part), included = part.getAttribute("hx-include");
    if (!address || !included) return address;
    const url = new URL(address, location.href);
    for (const { name, value } of document.querySelectorAll(included)) url.searchParams.set(name, value);
    return url.pathname + url.search;
  };
  const isPart = (element) => Boolean(element?.getAttribute && addressOf(element) && !element.hasAttribute("hx-target"));
  const reload = (part) => htmx.ajax("GET", addressOf(part), { source: part, swap: part.getAttribute("hx-swap") ?? "outerMorph" });
  const reloadsItself = ({ sourceElement, target, request }) =>
    isPart(sourceElement) && target === sourceElement && request.method === "GET";

  const reloadCard = (id) => {
    waiting.delete(id);
    const card = document.getElementById(id);
    if (isPart(card)) reload(card);
  };
  const reloadCardSoon = (id) => {
    if (waiting.has(id)) return;
    waiting.add(id);
    setTimeout(() => reloadCard(id), Math.max(0, (requestedAt.get(id) ?? -THROTTLE) + THROTTLE - performance.now()));
  };
  // Agents are shown with the task that they are working on: if the page shows that nobody is, they stay the same.
  const reloadAgents = (id) => {
    const column = document.getElementById(id)?.closest("[data-status]");
    if (!column || column.dataset.status === "in_progress") htmx.trigger(document.body, "agents");
  };
  const reloadCardsOf = (agent) => {
    const cards = [...document.querySelectorAll(`#board-view [data-agent="${CSS.escape(agent)}"]`)];
    if (cards.length <= MAX_CARDS && cards.every(isPart)) cards.forEach(({ id }) => reloadCardSoon(id));
    else htmx.trigger(document.body, "agent-cards");
  };
  document.addEventListener("live:message", ({ detail: { name } }) => {
    const [, part, id] = /^(card|agent-cards|current-task)-(.+)$/.exec(name) ?? [];
    if (part === "card") reloadCardSoon(`task-${id}`);
    if (part === "agent-cards") reloadCardsOf(id);
    if (part === "current-task") reloadAgents(`task-${id}`);
  });
  document.addEventListener("part:reload", ({ target }) => { if (isPart(target)) reload(target); });

  let delayedParts = new Set();
  const delay = (event) => {
    const { sourceElement: part, request } = event.detail.ctx;
    if (request.method !== "GET" || !(part.matches?.("[data-used]") || part.querySelector?.("[data-used]"))) return;
    event.preventDefault();
    delayedParts.add(part);
  };
  document.addEventListener("htmx:before:request", delay);
  document.addEventListener("htmx:before:swap", delay);
  document.addEventListener("part:released", () => {
    for (const part of delayedParts) if (part.isConnected) htmx.trigger(part, "part:reload");
    delayedParts = new Set();
  });

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
    const { pathname, search } = new URL(addressOf(part), location.href);
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
