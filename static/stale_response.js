// Discards a stale response: when the address of a part has changed since its request (another filter or another
// item), the part requests its current address instead.
document.addEventListener("htmx:before:swap", (event) => {
  const { sourceElement, target, request } = event.detail.ctx;
  const address = sourceElement.getAttribute?.("hx-get");
  if (!address || target !== sourceElement || request.method !== "GET") return;
  const { pathname, search } = new URL(address, location.href);
  if (pathname + search === request.action) return;
  event.preventDefault();
  htmx.ajax("GET", address, { source: sourceElement });
});
