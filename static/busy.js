// A button that is at work says so: <button data-busy="Saving"> shows these words, with a turning ring,
// until its form has been answered. It keeps its width, and cannot be pressed twice.
(() => {
  const RING = "loader-circle";
  const start = (form, submitter) => {
    const button = submitter?.matches("[data-busy]") ? submitter : form.querySelector("button[data-busy]");
    if (!button || button.ariaBusy === "true") return;
    const words = [...button.childNodes], sprite = document.querySelector("use")?.getAttribute("href").split("#")[0];
    const ring = document.createElementNS("http://www.w3.org/2000/svg", "svg"), use = document.createElementNS(ring.namespaceURI, "use");
    ring.setAttribute("class", "i spin");
    ring.setAttribute("aria-hidden", "true");
    use.setAttribute("href", `${sprite}#i-${RING}`);
    ring.append(use);
    button.style.minInlineSize = `${button.offsetWidth}px`;
    button.ariaBusy = "true";
    button.replaceChildren(...(sprite ? [ring] : []), button.dataset.busy);
    button.backToWords = () => { button.ariaBusy = null; button.replaceChildren(...words); };
  };
  const end = (root) => { for (const button of root.querySelectorAll("button[data-busy]")) button.backToWords?.(); };
  document.addEventListener("submit", (event) => {
    if (event.submitter?.ariaBusy !== "true") return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  document.addEventListener("submit", (event) => {
    if (!event.defaultPrevented || event.target.hasAttribute("data-htmx-powered")) start(event.target, event.submitter);
  });
  document.addEventListener("htmx:finally:request", (event) => {
    const form = event.detail.ctx.sourceElement.closest?.("form");
    if (form) end(form);
  });
  addEventListener("pageshow", () => end(document)); // somebody came back to a page that was kept as it was
})();
