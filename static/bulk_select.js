// Selection of several items: inside [data-select], checkboxes [data-pick] select, ⇧ extends the selection, and
// the bar [data-bulk] shows [data-bulk-count] and [data-bulk-lowest], the lowest data-conf of the checkboxes,
// and [data-bulk-completes], how many tasks their data-completes name; it is hidden if they name none. A form
// [data-bulk-bar] has [data-any] while something is selected; its response says what stays selected, and
// that of a form with fields [data-decided] says it for these items. The selection survives reloads. Its checkbox
// [data-pick-matching] selects also what is not loaded: [data-count] items in all. It is hidden if these are selected.
(() => {
  const picked = new Set(); // values of the selected checkboxes
  let last;
  let running = null; // the number of items that a request changes
  const boxes = (list) => [...list.querySelectorAll("input[data-pick]")];
  const update = (list) => {
    const selected = boxes(list).filter((box) => box.checked);
    for (const box of boxes(list)) picked[box.checked ? "add" : "delete"](box.value);
    for (const all of list.querySelectorAll("[data-pick-all]")) all.checked = selected.length > 0 && selected.length === boxes(list).length;
    for (const bar of list.querySelectorAll("[data-bulk-bar]")) {
      bar.toggleAttribute("data-any", selected.length > 0 || running !== null);
      bar.ariaBusy = running === null ? null : "true";
    }
    for (const bar of list.querySelectorAll("[data-bulk]")) bar.hidden = selected.length === 0;
    for (const rest of list.querySelectorAll("[data-no-bulk]")) rest.hidden = selected.length > 0;
    const matching = list.querySelector("[data-pick-matching]:checked");
    for (const offer of list.querySelectorAll("[data-pick-matching]")) offer.closest("label").hidden = !offer.checked && selected.length >= offer.dataset.count;
    for (const count of list.querySelectorAll("[data-bulk-count]")) count.textContent = running ?? matching?.dataset.count ?? selected.length;
    const confidences = selected.map((box) => Number(box.dataset.conf ?? 100));
    for (const lowest of list.querySelectorAll("[data-bulk-lowest]")) lowest.textContent = Math.min(...confidences, 100);
    const tasks = new Set(selected.flatMap((box) => box.dataset.completes?.split(" ") ?? []));
    for (const completes of list.querySelectorAll("[data-bulk-completes]")) {
      completes.hidden = tasks.size === 0;
      completes.querySelector("span").textContent = tasks.size;
    }
  };
  const updateAll = () => document.querySelectorAll("[data-select]").forEach(update);
  document.addEventListener("click", (event) => {
    const box = event.target.closest("input[data-pick]");
    const list = event.target.closest("[data-select]");
    if (!list) return;
    if (event.target.closest("[data-pick-none]")) for (const each of boxes(list)) each.checked = false;
    const matching = list.querySelector("[data-pick-matching]");
    if (matching && event.target === matching) for (const each of boxes(list)) each.checked = matching.checked;
    else if (matching && event.target.closest("input[data-pick], input[data-pick-all], [data-pick-none]")) matching.checked = false;
    const all = event.target.closest("input[data-pick-all]");
    if (all) for (const each of boxes(list)) each.checked = all.checked;
    if (box && event.shiftKey && last?.isConnected) {
      const order = boxes(list), [from, to] = [order.indexOf(last), order.indexOf(box)].sort((a, b) => a - b);
      for (const each of order.slice(Math.max(0, from), to + 1)) each.checked = box.checked;
    }
    if (box) last = box;
    update(list);
  });
  // Enter in a field of a menu presses the button of this menu, not the first one of the form.
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Enter" && event.target.matches?.("input") && event.target.closest("[data-bulk-bar] .menu");
    if (!menu) return;
    event.preventDefault();
    menu.querySelector("button[type=submit]").click();
  });
  // Live updates do not replace an open confirmation [data-hold].
  const keepConfirmation = (event) => {
    const { sourceElement, request } = event.detail.ctx;
    if (request.method === "GET" && sourceElement.id === "inbox" && sourceElement.querySelector("[data-hold]")) event.preventDefault();
  };
  document.addEventListener("htmx:before:request", keepConfirmation);
  document.addEventListener("htmx:before:swap", keepConfirmation);
  // After its form has left the page, the source of a request is another element.
  const changesSelection = ({ request }) => Boolean(request?.form?.matches("[data-bulk-bar]"));
  // While a request changes the selected items, the form shows it, has the focus, and sends no other one. Then the focus
  // is on an item, because the form is hidden.
  document.addEventListener("submit", (event) => {
    if (running === null || !event.target.matches("[data-bulk-bar]")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    if (!changesSelection(ctx)) return;
    const bar = ctx.sourceElement;
    running = bar.querySelector("[data-bulk-count]").textContent;
    if (bar.contains(ctx.request.submitter)) bar.focus(); // its controls are hidden
    updateAll();
    document.getElementById("announce").textContent = bar.querySelector("[data-busy-text]").textContent;
  });
  // If the reader has changed the view meanwhile, the response does not bring back the earlier one.
  document.addEventListener("htmx:before:swap", ({ detail: { ctx, tasks } }) => {
    const isSameView = document.querySelector("[data-bulk-bar]")?.getAttribute("action") === ctx.request.action;
    if (changesSelection(ctx) && !isSameView) tasks.splice(0, tasks.length, ...tasks.filter(({ target }) => target?.id !== "board-view"));
  });
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    if (!changesSelection(ctx)) return;
    running = null;
    updateAll();
    if (!document.activeElement?.matches("[data-bulk-bar]:not([data-any])")) return;
    const item = last?.isConnected ? last.closest("[data-item]") : document.querySelector("[data-select] [data-item]");
    (item?.querySelector("a[href]") ?? document.getElementById("content")).focus({ preventScroll: true });
  });
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    const decides = changesSelection(ctx);
    const decided = [...(ctx.sourceElement?.querySelectorAll?.("[data-decided]") ?? [])].map((one) => one.dataset.decided);
    for (const id of decided) picked.delete(id);
    for (const box of document.querySelectorAll("[data-select]:has([data-bulk-bar]) input[data-pick]")) {
      box.checked = decides || decided.includes(box.value) ? box.defaultChecked : picked.has(box.value);
    }
    for (const matching of document.querySelectorAll("[data-pick-matching]")) {
      if (decides) matching.checked = false;
      if (matching.checked) for (const box of boxes(matching.closest("[data-select]"))) box.checked = true;
    }
    // What is not shown any more, for example because of a filter, is not selected when it comes back.
    const shown = new Set([...document.querySelectorAll("[data-select]")].flatMap(boxes).map(({ value }) => value));
    for (const id of picked) if (!shown.has(id)) picked.delete(id);
    updateAll();
  });
  updateAll();
})();
