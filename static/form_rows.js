// Adds and removes rows of a form: [data-add-row="name"] appends an empty copy of the last [data-row] of
// [data-rows="name"]; [data-remove-row] removes its row, or empties it if it is the only one.
(() => {
  const fields = (row) => row.querySelectorAll("input, textarea, select");
  const renumber = (rows) => [...rows.querySelectorAll("[data-row]")].forEach((row, index) => {
    for (const part of row.querySelectorAll("[aria-label]")) part.setAttribute("aria-label", part.getAttribute("aria-label").replace(/\d+(?=\D*$)/, index + 1));
  });
  const changed = (rows) => { for (const name of ["input", "change"]) rows.dispatchEvent(new Event(name, { bubbles: true })); };
  document.addEventListener("click", (event) => {
    const adder = event.target.closest("[data-add-row]"), remover = event.target.closest("[data-remove-row]");
    const rows = adder ? document.querySelector(`[data-rows="${adder.dataset.addRow}"]`) : remover?.closest("[data-rows]");
    if (!rows) return;
    const all = [...rows.querySelectorAll("[data-row]")];
    if (adder) {
      const row = all.at(-1).cloneNode(true);
      for (const field of fields(row)) field.value = "";
      rows.append(row);
      renumber(rows);
      fields(row)[0].focus();
      return;
    }
    const row = remover.closest("[data-row]"), next = all[all.indexOf(row) + 1] ?? all.at(-2) ?? row;
    if (all.length > 1) row.remove();
    else for (const field of fields(row)) field.value = "";
    renumber(rows);
    fields(next)[0].focus();
    changed(rows);
  });
})();
