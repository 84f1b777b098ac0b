// Choosing several: inside [data-select], boxes [data-pick] choose, ⇧ extends, and the bar [data-bulk]
// appears with [data-bulk-count], and with [data-bulk-lowest] from each box's data-conf.
(() => {
  let last;
  const boxes = (list) => [...list.querySelectorAll("input[data-pick]")];
  const update = (list) => {
    const chosen = boxes(list).filter((box) => box.checked);
    for (const bar of list.querySelectorAll("[data-bulk]")) bar.hidden = chosen.length === 0;
    for (const rest of list.querySelectorAll("[data-no-bulk]")) rest.hidden = chosen.length > 0;
    for (const count of list.querySelectorAll("[data-bulk-count]")) count.textContent = chosen.length;
    const sure = chosen.map((box) => Number(box.dataset.conf ?? 100));
    for (const lowest of list.querySelectorAll("[data-bulk-lowest]")) lowest.textContent = Math.min(...sure, 100);
  };
  const updateAll = () => document.querySelectorAll("[data-select]").forEach(update);
  document.addEventListener("click", (event) => {
    const box = event.target.closest("input[data-pick]");
    const list = event.target.closest("[data-select]");
    if (!list) return;
    if (event.target.closest("[data-pick-none]")) for (const each of boxes(list)) each.checked = false;
    const all = event.target.closest("input[data-pick-all]");
    if (all) for (const each of boxes(list)) each.checked = all.checked;
    if (box && event.shiftKey && last?.isConnected) {
      const order = boxes(list), [from, to] = [order.indexOf(last), order.indexOf(box)].sort((a, b) => a - b);
      for (const each of order.slice(Math.max(0, from), to + 1)) each.checked = box.checked;
    }
    if (box) last = box;
    update(list);
  });
  // While [data-hold] asks for a second look, what comes live does not take it away.
  const hold = (event) => {
    const { sourceElement, request } = event.detail.ctx;
    if (request.method === "GET" && sourceElement.id === "inbox" && sourceElement.querySelector("[data-hold]")) event.preventDefault();
  };
  document.addEventListener("htmx:before:request", hold);
  document.addEventListener("htmx:before:swap", hold);
  document.addEventListener("htmx:after:swap", updateAll);
  updateAll();
})();
