// Highlights changes once: an element with an id and [data-v] flashes when it appears in a part that was
// reloaded, or when its data-v (a version or a time) changes.
(() => {
  const FLASH = 1800; // ms
  const flash = (element) => {
    element.dataset.fresh = "";
    setTimeout(() => delete element.dataset.fresh, FLASH);
  };
  const versions = (root) => new Map([...root.querySelectorAll("[id][data-v]")].map((element) => [element.id, element.dataset.v]));
  let previous = versions(document);
  document.addEventListener("htmx:after:swap", (event) => {
    const current = versions(document);
    const byUser = event.detail.ctx.request?.method !== "GET";
    for (const [id, version] of current) {
      if (!byUser && previous.get(id) !== version) flash(document.getElementById(id));
    }
    previous = current;
  });
})();
