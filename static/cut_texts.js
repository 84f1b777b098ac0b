// Shows the complete text of an element that is cut with an ellipsis as its title, while the pointer is over it.
(() => {
  const isCut = (element) => {
    const style = getComputedStyle(element);
    if (style.webkitLineClamp !== "none") return element.scrollHeight > element.clientHeight;
    return style.textOverflow === "ellipsis" && element.scrollWidth > element.clientWidth;
  };

  document.addEventListener("mouseover", ({ target }) => {
    if (!(target instanceof HTMLElement) || target.closest("[title]")) return;
    const around = [target, target.parentElement, target.parentElement?.parentElement];
    const cut = around.find((element) => element && isCut(element));
    if (cut) cut.title = cut.innerText.trim();
  });
})();
