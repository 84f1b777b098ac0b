// Pickers (templates/macros/pickers.html): a button or link [data-open-picker] opens a list of options below a search field. The
// server searches (GET /pick/…). Arrow keys select an option, Enter chooses it, Escape closes; of several values, a
// second choice takes one out again. What was chosen lately in this browser is first. A choice sets the field of
// [data-picker], submits the form of [data-submits], or opens the address of the option in [data-leads].
(() => {
  const DELAY = 120; // ms without a key until the server is asked
  const GAP = 4, MARGIN = 8, WIDTH = 320, LOW = 220; // px: around the list, its least width, and a height that is too low
  const MAX_RECENT = 8;
  const loader = createLoader();
  const panel = Object.assign(document.createElement("div"), { className: "picker-panel", id: "picker-panel", role: "dialog", popover: "manual" });
  panel.innerHTML = '<input class="input" type="search" role="combobox" aria-autocomplete="list" aria-expanded="true" aria-controls="picker-options" dir="auto" autocomplete="off" maxlength="200"><div data-found></div><p class="picker__count" role="status"></p>';
  const [input, found, status] = panel.children;
  input.setAttribute("aria-label", getText("search"));
  input.placeholder = getText("search");
  let opener; // the button or link of the open list
  let steps; // what arrow keys have said before the search was answered: they are for its options
  let isWaiting; // whether Enter was pressed before the search for a text was answered: an only option is chosen then

  const isBusy = () => found.ariaBusy === "true";
  const options = () => [...found.querySelectorAll('[role="option"]')];
  const picker = () => opener.closest("[data-picker], [data-submits], [data-leads]");
  const addressOf = (button) => new URL(button.getAttribute("formaction") ?? button.href, location.href);

  // The values that were chosen lately, of each kind. The server names those that the user may see.
  const user = new URL(document.body.dataset.live ?? "", location.href).searchParams.get("for") ?? "";
  const recentKey = () => `picked:${user}:${addressOf(opener).pathname}`;
  const readRecent = () => { try { return JSON.parse(localStorage.getItem(recentKey())) ?? []; } catch { return []; } };
  const remember = (value) => {
    const values = [value, ...readRecent().filter((other) => other !== value)].slice(0, MAX_RECENT);
    try { localStorage.setItem(recentKey(), JSON.stringify(values)); } catch { /* storage is not available */ }
  };

  const place = () => {
    const around = opener.getBoundingClientRect(), { height, offsetTop } = window.visualViewport;
    const below = offsetTop + height - around.bottom - GAP - MARGIN, above = around.top - offsetTop - GAP - MARGIN;
    const isOver = Math.max(below, above) < LOW; // a keyboard on the screen leaves no room: it covers its button
    const isBelow = !isOver && (below >= LOW + 100 || below >= above);
    const width = Math.min(Math.max(around.width, WIDTH), innerWidth - 2 * MARGIN);
    panel.style.width = `${width}px`;
    panel.style.left = `${Math.max(MARGIN, Math.min(around.left, innerWidth - MARGIN - width))}px`;
    panel.style.maxHeight = `${isOver ? height - 2 * MARGIN : isBelow ? below : above}px`;
    panel.style.top = isOver ? `${offsetTop + MARGIN}px` : isBelow ? `${around.bottom + GAP}px` : "auto";
    panel.style.bottom = isOver || isBelow ? "auto" : `${innerHeight - around.top + GAP}px`;
  };

  const close = (returnsFocus) => {
    if (!opener) return;
    const closed = opener;
    opener = undefined;
    loader.cancel();
    if (panel.matches(":popover-open")) panel.hidePopover();
    found.replaceChildren();
    closed.setAttribute("aria-expanded", "false");
    if (returnsFocus) closed.focus({ preventScroll: true });
  };

  const chosenValues = () => [...picker().querySelectorAll("input[type=hidden]")].map((field) => field.value).filter(Boolean);
  const markChosen = () => {
    const values = chosenValues(), isSeveral = "several" in picker().dataset;
    found.querySelector("[role=listbox]")?.setAttribute("aria-multiselectable", isSeveral);
    for (const option of options()) option.setAttribute("aria-checked", values.includes(option.dataset.value));
  };
  const show = (html) => {
    if (!opener) return;
    found.ariaBusy = "false";
    found.innerHTML = html ?? "";
    const { none, several } = picker().dataset;
    if (html !== null && none && several === undefined && !input.value.trim()) {
      const option = document.createElement("div");
      option.innerHTML = '<span class="picker__value" data-drawn><span class="trunc" dir="auto"></span></span>';
      option.querySelector(".trunc").textContent = none;
      Object.assign(option, { id: "picker-0", role: "option" });
      const href = found.querySelector("[data-none-href]")?.dataset.noneHref;
      Object.assign(option.dataset, { value: "", name: none }, href && { href });
      found.querySelector("[role=listbox]").prepend(option);
    }
    markChosen();
    const words = input.value.trim(), all = options();
    selectOption(input, all, words ? all[0] : all.find((option) => option.ariaChecked === "true") ?? all[0]);
    for (const step of all.length ? steps : []) selectOption(input, all, nextOption(all, step));
    const count = found.querySelector("[data-count]");
    status.replaceChildren(...(count?.childNodes ?? [getText("not_loaded")]));
    count?.remove();
    place();
    if (isWaiting && words && all.length === 1) choose(all[0]);
  };
  const ask = (delay) => {
    const address = addressOf(opener), q = input.value.trim();
    steps = [];
    isWaiting = false;
    found.ariaBusy = "true"; // it shows what was asked for before
    if (q) address.searchParams.set("q", q);
    else address.searchParams.set("recent", readRecent().join());
    loader.load(address, delay, show);
  };

  const reveal = () => {
    (opener.closest("dialog, .menu, [popover], main") ?? document.body).append(panel); // else a dialog makes it inert
    panel.showPopover();
    opener.setAttribute("aria-expanded", "true");
    markChosen();
    place();
    input.focus({ preventScroll: true });
  };

  const open = (button) => {
    close();
    opener = button;
    panel.setAttribute("aria-label", button.ariaLabel || (document.getElementById(`${button.id}-label`)?.textContent ?? button.textContent).trim());
    input.value = status.textContent = "";
    reveal();
    ask(0);
  };

  const announceChange = (field) => {
    for (const type of ["input", "change"]) field.dispatchEvent(new Event(type, { bubbles: true }));
  };
  const setOne = (option) => {
    const field = picker().querySelector("input[type=hidden]");
    field.value = option.dataset.value;
    picker().querySelector("[data-shown]").innerHTML = option.querySelector("[data-drawn]").innerHTML;
    close(true);
    announceChange(field);
  };
  const removeChip = (chip) => {
    const own = chip.closest("[data-picker]"), field = own.querySelector("input[type=hidden]"), more = own.querySelector("[data-more]");
    chip.remove();
    if (more) more.textContent = (own.querySelectorAll(":scope > input").length - 1).toLocaleString(document.documentElement.lang);
    announceChange(field);
  };
  const toggle = ({ dataset: { value, name }, children: [drawn] }) => {
    const quoted = CSS.escape(value); // of many values, only the first have chips
    const before = picker().querySelector(`[data-picked="${quoted}"], :scope > input[value="${quoted}"]`);
    if (before) removeChip(before);
    else {
      const chip = Object.assign(document.createElement("span"), { className: "chip chip--picked", innerHTML: drawn.innerHTML });
      const field = Object.assign(document.createElement("input"), { type: "hidden", name: picker().dataset.picker, value });
      const remove = Object.assign(document.createElement("button"), { type: "button", innerHTML: "×", ariaLabel: getText("remove", { name }) });
      chip.dataset.picked = value;
      remove.dataset.unpick = "";
      chip.prepend(field);
      chip.append(remove);
      opener.before(chip);
      announceChange(field);
    }
    markChosen();
    place();
    input.select();
  };
  const choose = (option) => {
    const own = picker(), { value, href } = option.dataset;
    isWaiting = false;
    if (value) remember(value);
    if ("leads" in own.dataset) location.assign(href);
    else if ("submits" in own.dataset) {
      const button = own.querySelector("button[hidden]");
      button.value = value;
      close(true);
      own.closest("details.drop")?.removeAttribute("open");
      button.form.requestSubmit(button);
    } else if ("several" in own.dataset) toggle(option);
    else setOne(option);
  };

  const handleKey = (event) => {
    const all = options(), step = { ArrowDown: 1, ArrowUp: -1 }[event.key], selected = findSelected(all);
    if (event.key === "Tab") { if (event.shiftKey || !status.querySelector("a")) close(true); return false; }
    if (step) {
      isWaiting = false;
      if (isBusy()) steps.push(step);
      else if (all.length) selectOption(input, all, nextOption(all, step));
    }
    else if (event.key === "Escape") close(true);
    else if (event.key === "Enter") {
      if (isBusy()) isWaiting = true; // what is shown is not what was typed
      else if (selected) choose(selected);
    }
    else { event.stopPropagation(); return false; }
    return true;
  };
  // On the window, so that it is before what submits a form with Enter, or closes a menu with Escape.
  addEventListener("keydown", (event) => {
    if (!opener || !panel.contains(event.target)) return;
    if (event.target !== input) { // the link to what is missing
      if (["Escape", "Tab"].includes(event.key)) close(true);
      if (event.key !== "Escape") return;
    } else if (!handleKey(event)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  input.addEventListener("input", () => ask(DELAY));
  // The search field is not a field of the form around it.
  for (const type of ["input", "change", "search", "keyup", "click"]) panel.addEventListener(type, (event) => event.stopPropagation());
  panel.addEventListener("pointerdown", (event) => { if (event.target !== input) event.preventDefault(); }); // keeps the focus
  panel.addEventListener("click", (event) => {
    const option = event.target.closest('[role="option"]');
    if (option) choose(option);
  });

  addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-open-picker]"), isNewTab = event.ctrlKey || event.metaKey;
    if (!button || isNewTab) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (button === opener) close(true);
    else open(button);
  }, true);
  addEventListener("pointerdown", (event) => {
    if (opener && !panel.contains(event.target) && !opener.contains(event.target)) close();
  }, true);
  document.addEventListener("click", (event) => {
    const chip = event.target.closest("[data-unpick]")?.closest("[data-picked]");
    if (!chip) return;
    chip.closest("[data-picker]").querySelector("[data-open-picker]").focus();
    removeChip(chip);
  });
  // A choice of several values may reload the filters around the list, which stays open for the next one.
  document.addEventListener("htmx:after:swap", () => {
    if (opener && !opener.isConnected) close();
    else if (opener && !panel.isConnected) reveal();
  });
  const follow = (event) => { if (opener && !panel.contains(event.target)) place(); };
  addEventListener("scroll", follow, { capture: true, passive: true });
  addEventListener("resize", follow);
  window.visualViewport.addEventListener("resize", follow);
})();
