// Suggestions in text boxes: in an element with [data-suggest="board=…"] or "group=…", @ suggests agents and people, and #
// tasks. Arrow keys select, Enter or Tab inserts, Escape closes. A text box of several lines cannot have the role
// combobox, so it keeps its role and names its selected option; a field of one line becomes a combobox.
(() => {
  const DELAY = 120; // ms without a key until the server is asked
  const GAP = 4; // px between the text box and the list
  const TRIGGER = /(?:^|[\s([{"'“„‚‘«])([@#])([\p{L}\p{N}_.'-]{0,60})$/u;
  const PATHS = { "@": "suggestions/mentions", "#": "suggestions/tasks" };
  const loader = createLoader();
  const list = Object.assign(document.createElement("div"), { className: "suggest", id: "suggest", role: "listbox", popover: "manual" });
  list.setAttribute("aria-label", getText("suggestions_label"));
  let box, start, dismissed; // the text box, the position of the sign, and a position at which Escape was pressed

  const isOpen = () => list.matches(":popover-open");
  const options = () => [...list.children];

  const close = () => {
    loader.cancel();
    if (isOpen()) list.hidePopover();
    list.replaceChildren();
    for (const name of ["aria-activedescendant", "aria-controls"]) box?.removeAttribute(name);
    if (box?.localName === "input") box.setAttribute("aria-expanded", "false");
  };

  const place = () => {
    const around = box.getBoundingClientRect(), { height, offsetTop } = window.visualViewport;
    const below = offsetTop + height - around.bottom - GAP, above = around.top - offsetTop - GAP;
    const isBelow = below >= Math.min(list.scrollHeight, above);
    list.style.left = `${around.left}px`;
    list.style.maxWidth = `${innerWidth - around.left - GAP}px`;
    list.style.maxHeight = `${Math.max(isBelow ? below : above, 0)}px`;
    list.style.top = isBelow ? `${around.bottom + GAP}px` : "auto";
    list.style.bottom = isBelow ? "auto" : `${innerHeight - around.top + GAP}px`;
  };

  // Enter sends a mention that is complete, and a number such as #3.
  const select = (written, candidates) => {
    const isComplete = options().some((option) => option.dataset.insert.toLowerCase() === written.toLowerCase());
    selectOption(box, options(), isComplete || /^#\d+$/.test(written) ? undefined : candidates[0]);
  };

  const show = (html, written) => {
    if (document.activeElement !== box) return close();
    const wasOpen = isOpen();
    list.innerHTML = html ?? "";
    if (!options().length) return close();
    (box.closest("dialog, main") ?? document.body).append(list); // outside of an open dialog it could not be used
    list.showPopover();
    place();
    box.setAttribute("aria-controls", list.id);
    if (box.localName === "input") box.setAttribute("aria-expanded", "true");
    select(written, options());
    if (!wasOpen) document.getElementById("announce").textContent = getText("suggestions", { count: options().length });
  };

  const prepare = (element) => {
    element.setAttribute("aria-autocomplete", "list");
    if (element.localName === "input") element.role = "combobox";
  };

  const update = (element) => {
    const end = element.selectionStart, match = end === element.selectionEnd && TRIGGER.exec(element.value.slice(0, end));
    if (box !== element) dismissed = undefined;
    box = element;
    if (!match) {
      dismissed = undefined;
      return close();
    }
    const [, sign, text] = match;
    start = end - sign.length - text.length;
    if (start === dismissed) return;
    const query = new URLSearchParams(element.dataset.suggest);
    query.set("q", text);
    // Until the response arrives, the options are those of an earlier text.
    const fits = (option) => plainText(`${option.textContent} ${option.dataset.insert}`).includes(plainText(text));
    if (isOpen()) select(sign + text, options().filter(fits));
    loader.load(`${document.body.dataset.root}${PATHS[sign]}?${query}`, DELAY, (html) => show(html, sign + text));
  };

  const insert = (option) => {
    const end = box.selectionStart, text = option.dataset.insert + (/^\s/.test(box.value.slice(end)) ? "" : " ");
    close();
    box.focus();
    box.setSelectionRange(start, end);
    // The command keeps what can be undone, and sends the event of an input.
    if (document.execCommand("insertText", false, text)) return;
    box.setRangeText(text, start, end, "end");
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  const handleKey = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], selected = findSelected(options());
    if (event.metaKey || event.ctrlKey || event.altKey || event.shiftKey) return false;
    if (step) selectOption(box, options(), nextOption(options(), step));
    else if (event.key === "Escape") { dismissed = start; close(); }
    else if (["Enter", "Tab"].includes(event.key) && selected) insert(selected);
    else return false;
    return true;
  };

  const suggests = (element) => element.matches?.("[data-suggest]");
  // On the window, so that it is before what sends a form with Enter or closes a menu with Escape.
  addEventListener("keydown", (event) => {
    if (!isOpen() || event.target !== box || !handleKey(event)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  document.addEventListener("focusin", (event) => { if (suggests(event.target)) prepare(event.target); });
  document.addEventListener("focusout", (event) => { if (event.target === box) close(); });
  document.addEventListener("input", (event) => { if (suggests(event.target) && !event.isComposing) update(event.target); });
  document.addEventListener("compositionend", (event) => { if (suggests(event.target)) update(event.target); });
  document.addEventListener("click", (event) => { if (suggests(event.target)) update(event.target); });
  document.addEventListener("keyup", (event) => {
    if (suggests(event.target) && ["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) update(event.target);
  });
  document.addEventListener("submit", close);
  document.addEventListener("htmx:after:swap", () => { if (box && !box.isConnected) close(); });
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the text box keeps the focus
  list.addEventListener("click", (event) => {
    const option = event.target.closest('[role="option"]');
    if (option) insert(option);
  });
  const follow = (event) => { if (isOpen() && event.target !== list) place(); };
  addEventListener("scroll", follow, true);
  addEventListener("resize", follow);
})();
