// Shows the progress of a form: <button data-busy="Saving"> has this label and a spinner, keeps its width, and the form
// cannot be submitted again. With htmx this ends with the request; a form whose request has failed has [data-failed].
// Without htmx the form leads to another page; it ends if the page has asked whether to leave it, or is restored from
// the cache.
(() => {
  const SPINNER = "loader-circle";
  const leaving = new Set(); // the buttons of forms without htmx
  const start = (form, submitter) => {
    const button = submitter?.matches("[data-busy]") ? submitter
      : form.querySelector("button.btn--solid[data-busy]") ?? form.querySelector("button[data-busy]");
    if (!button || button.ariaBusy === "true") return null;
    const label = [...button.childNodes], sprite = document.querySelector("use")?.getAttribute("href").split("#")[0];
    const spinner = document.createElementNS("http://www.w3.org/2000/svg", "svg"), use = document.createElementNS(spinner.namespaceURI, "use");
    spinner.setAttribute("class", "i spin");
    spinner.setAttribute("aria-hidden", "true");
    use.setAttribute("href", `${sprite}#i-${SPINNER}`);
    spinner.append(use);
    button.style.minInlineSize = `${button.offsetWidth}px`;
    button.ariaBusy = "true";
    button.replaceChildren(...(sprite ? [spinner] : []), button.dataset.busy);
    button.restoreLabel = () => {
      delete button.restoreLabel;
      if (button.ariaBusy !== "true") return; // a response has replaced the label meanwhile
      button.ariaBusy = null;
      button.replaceChildren(...label);
    };
    return button;
  };
  const end = (buttons) => { for (const button of buttons) button.restoreLabel?.(); };
  const endLeaving = () => { end(leaving); leaving.clear(); };
  document.addEventListener("submit", (event) => {
    if (![...event.target.elements].some((one) => one.ariaBusy === "true")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  document.addEventListener("submit", (event) => {
    const isHtmx = event.target.hasAttribute("data-htmx-powered");
    if (event.defaultPrevented && !isHtmx) return;
    const button = start(event.target, event.submitter);
    if (button && !isHtmx) leaving.add(button);
  });
  document.addEventListener("htmx:finally:request", (event) => {
    const form = event.detail.ctx.sourceElement.closest?.("form");
    if (!form) return;
    end(form.elements); // also those outside of the form that belong to it
    form.toggleAttribute("data-failed", !(event.detail.ctx.response?.status < 400));
  });
  // The page has asked because of unsaved changes (unsaved_changes.js). No event tells what the user has chosen.
  addEventListener("beforeunload", (event) => setTimeout(() => { if (event.defaultPrevented) endLeaving(); }));
  addEventListener("pageshow", endLeaving); // the page may be from the back/forward cache
})();
