// The months of a calendar: links [data-months] lead by this number of months. While a month is loaded, they lead on from
// it, so that a key or a link that is used twice leads by two months. The address of the current month does not name it: its
// link has [data-month].
(() => {
  let latest; // the last request for a month
  const links = () => document.querySelectorAll("[data-months]");
  const monthOf = (address) => new URL(address, location.href).searchParams.get("month");
  const shift = (month, by) => {
    const first = new Date(`${month}-01T00:00Z`);
    first.setUTCMonth(first.getUTCMonth() + by);
    return first.toISOString().slice(0, 7);
  };
  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    const source = ctx.sourceElement.closest?.("[data-months], [data-month]");
    if (!source) return;
    latest = ctx;
    const month = source.dataset.month ?? monthOf(ctx.request.action);
    for (const link of links()) {
      const address = new URL(link.href);
      address.searchParams.set("month", shift(month, Number(link.dataset.months)));
      link.setAttribute("hx-get", address.pathname + address.search);
    }
  });
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    if (ctx !== latest || ctx.response?.status < 400) return;
    for (const link of links()) link.setAttribute("hx-get", link.getAttribute("href")); // the month was not loaded
  });
})();
