// Rows of a form that one adds and takes away: [data-add-row="name"] copies the last [data-row] of
// [data-rows="name"], empty; [data-remove-row] takes its row away, and empties the last one.
(() => {
  const fields = (row) => row.querySelectorAll("input, textarea, select");
  const number = (rows) => [...rows.querySelectorAll("[data-row]")].forEach((row, place) => {
    for (const part of row.querySelectorAll("[aria-label]")) part.setAttribute("aria-label", part.getAttribute("aria-label").replace(/\d+$/, place + 1));
  });
  const changed = (rows) => rows.dispatchEvent(new Event("change", { bubbles: true }));
  document.addEventListener("click", (event) => {
    const adder = event.target.closest("[data-add-row]"), remover = event.target.closest("[data-remove-row]");
    const rows = adder ? document.querySelector(`[data-rows="${adder.dataset.addRow}"]`) : remover?.closest("[data-rows]");
    if (!rows) return;
    const all = [...rows.querySelectorAll("[data-row]")];
    if (adder) {
      const row = all.at(-1).cloneNode(true);
      for (const field of fields(row)) field.value = "";
      rows.append(row);
      number(rows);
      fields(row)[0].focus();
      return;
    }
    const row = remover.closest("[data-row]"), next = all[all.indexOf(row) + 1] ?? all.at(-2) ?? row;
    if (all.length > 1) row.remove();
    else for (const field of fields(row)) field.value = "";
    number(rows);
    fields(next)[0].focus();
    changed(rows);
  });
})();
