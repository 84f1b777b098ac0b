// What has just changed flashes once. An element with an id and [data-v] flashes when it appears in a
// part that was fetched again, or when its data-v (a version, a time) changes there.
(() => {
  const FLASH = 1800; // ms
  const flash = (element) => {
    element.dataset.fresh = "";
    setTimeout(() => delete element.dataset.fresh, FLASH);
  };
  const versions = (root) => new Map([...root.querySelectorAll("[id][data-v]")].map((element) => [element.id, element.dataset.v]));
  let known = versions(document);
  document.addEventListener("htmx:after:swap", (event) => {
    const now = versions(document);
    const byHand = event.detail.ctx.request?.method !== "GET";
    for (const [id, version] of now) {
      if (!byHand && known.get(id) !== version) flash(document.getElementById(id));
    }
    known = now;
  });
})();
