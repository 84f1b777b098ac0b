// Shows the progress of a form: <button data-busy="Saving"> has this label and a spinner until the response
// arrives. It keeps its width, and cannot be pressed twice. A form whose request has failed has [data-failed].
(() => {
  const SPINNER = "loader-circle";
  const start = (form, submitter) => {
    const button = submitter?.matches("[data-busy]") ? submitter
      : form.querySelector("button.btn--solid[data-busy]") ?? form.querySelector("button[data-busy]");
    if (!button || button.ariaBusy === "true") return;
    const label = [...button.childNodes], sprite = document.querySelector("use")?.getAttribute("href").split("#")[0];
    const spinner = document.createElementNS("http://www.w3.org/2000/svg", "svg"), use = document.createElementNS(spinner.namespaceURI, "use");
    spinner.setAttribute("class", "i spin");
    spinner.setAttribute("aria-hidden", "true");
    use.setAttribute("href", `${sprite}#i-${SPINNER}`);
    spinner.append(use);
    button.style.minInlineSize = `${button.offsetWidth}px`;
    button.ariaBusy = "true";
    button.replaceChildren(...(sprite ? [spinner] : []), button.dataset.busy);
    button.restoreLabel = () => { button.ariaBusy = null; button.replaceChildren(...label); };
  };
  const end = (root) => { for (const button of root.querySelectorAll("button[data-busy]")) button.restoreLabel?.(); };
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
    if (!form) return;
    end(form);
    form.toggleAttribute("data-failed", !(event.detail.ctx.response?.status < 400));
  });
  // The user may stay on the page when it warns of unsaved changes (unsaved_changes.js).
  addEventListener("beforeunload", (event) => setTimeout(() => { if (event.defaultPrevented) end(document); }));
  addEventListener("pageshow", () => end(document)); // the page was restored from the back/forward cache
})();
