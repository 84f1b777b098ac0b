// Lists of which rows are loaded while they are scrolled: a link [data-more] loads those that follow in its [data-group],
// before it can be seen, so that the groups below do not move on the screen.
// Requests for a part with groups say how many rows each shows, if they are more than the first ones, so that the response
// has as many. The header has at most MAX_LENGTH characters: names of tags are long when they are encoded.
(() => {
  const DISTANCE = "800px"; // from the visible part: less than the first rows of a group are high
  const HEADER = "List-Rows", FIRST_ROWS = 50, MAX_LENGTH = 4_000, ROWS = "tr[id^='task-']";
  const countRows = (part) => {
    const counts = [...part.querySelectorAll("[data-group]")].map((group) => [group.dataset.group, group.querySelectorAll(ROWS).length]);
    const header = new URLSearchParams(counts.filter(([, count]) => count > FIRST_ROWS)).toString();
    return header.length > MAX_LENGTH ? header.slice(0, Math.max(header.lastIndexOf("&", MAX_LENGTH), 0)) : header;
  };
  const isPart = ({ target, swap }) => Boolean(target?.querySelector?.("[data-group]")) && Boolean(swap?.startsWith("outerMorph"));

  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting && target.isConnected) htmx.trigger(target, "click");
    }
  }, { rootMargin: DISTANCE, scrollMargin: DISTANCE });
  const observe = () => {
    for (const link of document.querySelectorAll("[data-more]")) observer.observe(link); // an observed one does not change
  };
  document.addEventListener("htmx:after:swap", observe);
  document.addEventListener("DOMContentLoaded", observe);

  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    if (!isPart(ctx)) return;
    ctx.shownRows = countRows(ctx.target);
    if (ctx.shownRows) ctx.request.headers[HEADER] = ctx.shownRows;
  });

  // Rows that no longer follow those of the page are requested again, and so is a part without the rows that were loaded
  // since its request.
  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx } = event.detail, source = ctx.sourceElement;
    if (source?.matches?.("[data-more]")) {
      if (!source.isConnected || source.getAttribute("hx-get") === ctx.request.action) return;
      event.preventDefault();
      htmx.trigger(source, "click");
    } else if (source === ctx.target && isPart(ctx) && ctx.shownRows !== countRows(source)) {
      event.preventDefault();
      htmx.trigger(source, "part:reload");
    }
  });

  // A task that has moved down since the rows above were loaded.
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    if (!ctx.sourceElement?.matches?.("[data-more]")) return;
    const rows = new Map();
    for (const row of document.querySelectorAll(`[data-group] ${ROWS}`)) {
      rows.get(row.id)?.remove();
      rows.set(row.id, row);
    }
  });
})();
