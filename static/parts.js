// A part that asks for itself at an address which it has left by the time the answer comes (its filter has been
// changed, another question is shown) does not take that answer, but asks again where it is now.
document.addEventListener("htmx:before:swap", (event) => {
  const { sourceElement, target, request } = event.detail.ctx;
  const address = sourceElement.getAttribute?.("hx-get");
  if (!address || target !== sourceElement || request.method !== "GET") return;
  const { pathname, search } = new URL(address, location.href);
  if (pathname + search === request.action) return;
  event.preventDefault();
  htmx.ajax("GET", address, { source: sourceElement });
});
