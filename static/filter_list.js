// Filters a list while the user types: <input data-filter-list="name"> hides those [data-filter-item] of the element
// with this id that do not contain the text; [data-filter-none] is shown if none is left.
(() => {
  const filter = (field) => {
    const list = document.getElementById(field.dataset.filterList), text = field.value.trim().toLocaleLowerCase();
    const items = [...list.querySelectorAll("[data-filter-item]")];
    for (const item of items) item.hidden = !item.textContent.toLocaleLowerCase().includes(text);
    const none = list.querySelector("[data-filter-none]");
    if (none) none.hidden = items.some((item) => !item.hidden);
  };
  document.addEventListener("input", (event) => { if (event.target.matches?.("[data-filter-list]")) filter(event.target); });
})();
