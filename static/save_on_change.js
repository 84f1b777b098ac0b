// A form that is saved on every change: form[hx-trigger="change"]. A change that is made before the response to the last one
// has arrived waits for it. What is sent then is what the form shows by then: each response brings hashes of saved values.
document.addEventListener("htmx:before:request", ({ detail: { ctx: { request } } }) => {
  if (request.form?.matches("[hx-trigger='change']")) request.body = new URLSearchParams(new FormData(request.form));
});
