// The menu of a card: one menu, #card-menu, is opened beside the card or row whose button [data-card-menu] is used. A
// move triggers card:move (static/board.js); other changes are posted to the address of [data-changes]. Without scripts
// the button opens the page of the task.
(() => {
  const GAP = 4; // px around the menu
  const menu = document.getElementById("card-menu");
  let opener;
  if (!menu?.showPopover) return;
  const cardOf = (element) => element?.closest("[data-task]");
  const trigger = (card, detail) => card.dispatchEvent(new CustomEvent("card:move", { bubbles: true, detail }));
  // The day of a time, like 2026-12-24, in the reader's time zone; if the browser does not know it, in its own.
  const dayOf = (time) => {
    try { return time.toLocaleDateString("sv", { timeZone: menu.dataset.timeZone }); } catch { return time.toLocaleDateString("sv"); }
  };
  const neighbour = (card, place) => (place === "before" ? card.previousElementSibling : card.nextElementSibling)?.dataset.task;

  // It is in the top layer, so that a column that scrolls does not cut it off.
  const placeMenu = () => {
    const { bottom, top, right } = opener.getBoundingClientRect();
    const fitsBelow = bottom + GAP + menu.offsetHeight <= innerHeight;
    const above = Math.max(GAP, top - GAP - menu.offsetHeight), lowest = Math.max(GAP, innerHeight - GAP - menu.offsetHeight);
    menu.style.left = `${Math.max(GAP, right - menu.offsetWidth)}px`;
    menu.style.top = `${fitsBelow ? bottom + GAP : above + menu.offsetHeight <= top ? above : lowest}px`;
  };
  const offer = (card) => {
    const { status } = card.closest("[data-status]").dataset, isManual = card.closest("[data-order=manual][data-board]");
    for (const choice of menu.querySelectorAll("[name=to]")) choice.hidden = choice.value === status;
    for (const choice of menu.querySelectorAll("[data-place]")) choice.hidden = !isManual || !neighbour(card, choice.dataset.place);
    for (const each of menu.querySelectorAll("details")) each.open = false;
    menu.querySelector("[data-select-card]").hidden = !card.querySelector("[data-pick]");
    const due = card.querySelector(".due time")?.dateTime;
    menu.elements.due_at.value = due ? dayOf(new Date(due)) : "";
    menu.querySelector("[data-copy-card]").dataset.copy = new URL(card.querySelector("a[href]").pathname, location.href).href;
  };
  // On a phone the menu covers most of the page: a tap beside it only closes it, and does not use what is there.
  const phone = matchMedia("(max-width: 52rem)");
  const setInert = (inert) => document.getElementById("board-view")?.toggleAttribute("inert", inert);
  // Its card is loaded again, if it has changed meanwhile.
  const releaseCard = () => {
    delete cardOf(opener)?.dataset.used;
    opener = undefined;
    document.dispatchEvent(new Event("part:released"));
  };
  const openMenu = (button) => {
    if (opener) releaseCard(); // the menu of another card is open
    opener = button;
    const card = cardOf(opener);
    card.dataset.used = "";
    offer(card);
    menu.showPopover();
    setInert(phone.matches);
    placeMenu();
    menu.querySelector("button:not([hidden])").focus({ preventScroll: true });
  };
  const closeMenu = () => {
    setInert(false);
    opener?.focus({ preventScroll: true });
    menu.hidePopover();
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-card-menu]");
    if (!button) return;
    event.preventDefault();
    openMenu(button);
  });
  menu.addEventListener("toggle", ({ target, newState }) => {
    if (target !== menu) return placeMenu();
    if (newState === "open") return;
    setInert(false);
    if (menu.contains(document.activeElement) || document.activeElement === document.body) opener?.focus();
    releaseCard();
  }, true);

  const change = (card, name, value) => {
    const address = card.closest("[data-changes]").dataset.changes;
    htmx.ajax("POST", address, { source: menu, values: { ids: card.dataset.task, [name]: value } });
  };
  menu.addEventListener("submit", (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
    const card = cardOf(opener), button = event.submitter, { saves } = button.dataset;
    closeMenu();
    if (!card?.isConnected) return;
    if (button.name === "to") trigger(card, { to: button.value });
    else change(card, saves ?? button.name, saves ? menu.elements[saves].value : button.value);
  }, true);
  menu.addEventListener("click", ({ target }) => {
    const card = cardOf(opener), place = target.closest("[data-place]")?.dataset.place;
    if (place) trigger(card, { to: card.closest("[data-status]").dataset.status, [place]: neighbour(card, place) });
    if (target.closest("[data-select-card]")) card.querySelector("[data-pick]").click();
    if (target.closest("[data-place], [data-select-card], [data-copy-card]")) closeMenu();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !opener) return;
    event.stopImmediatePropagation();
    event.preventDefault();
    closeMenu();
  }, true);
  addEventListener("scroll", ({ target }) => { if (opener && !menu.contains(target)) placeMenu(); }, { capture: true, passive: true });
})();
