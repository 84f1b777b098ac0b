// The command palette: text filters its options and asks the server for objects, arrow keys select an option, Enter
// opens it, ⌘Enter opens it in a new tab. A text after ">" is only of commands.
(() => {
  const palette = document.getElementById("palette");
  if (!palette) return;
  const DELAY = 120; // ms without a key until the server is asked
  const MAX_RECENT = 8;
  const { root } = document.body.dataset;
  const input = palette.querySelector("input"), found = palette.querySelector("#palette-found");
  const status = palette.querySelector("[data-palette-status]");
  const loader = createLoader();
  let shownFor; // the text for which the server has found what is shown
  let isChosen; // whether an arrow key has selected the option
  let waiting; // what opens the first option once the server has answered, because Enter was pressed before

  // The ids of the objects that the user has opened in this browser. The server names those that the user may see.
  const OBJECT = /^(?:boards\/[\w-]+\/tasks|boards|agents)\/([0-9a-f]{8}-[0-9a-f-]{27})(?:$|\/)/;
  const user = new URL(document.body.dataset.live ?? "", location.href).searchParams.get("for") ?? "";
  const recentKey = `recent:${user}`;
  const readRecent = () => { try { return JSON.parse(localStorage.getItem(recentKey)) ?? []; } catch { return []; } };
  const record = () => {
    const id = OBJECT.exec(location.pathname.slice(root.length))?.[1];
    if (!id || readRecent()[0] === id) return;
    const ids = [id, ...readRecent().filter((other) => other !== id)].slice(0, MAX_RECENT);
    try { localStorage.setItem(recentKey, JSON.stringify(ids)); } catch { /* storage is not available */ }
  };

  const all = () => [...palette.querySelectorAll('[role="option"]')];
  const shown = () => all().filter((option) => !option.hidden);
  const typed = () => input.value.trim();
  const buttonOf = (option) => document.querySelector(option.dataset.clicks);
  const isAvailable = (option) => {
    if (!option.dataset.clicks) return true;
    const button = buttonOf(option);
    return Boolean(button) && (palette.contains(button) || !button.closest("[hidden]"));
  };
  const showStatus = (text) => {
    status.hidden = !text;
    if (status.textContent !== text) status.textContent = text;
  };

  const filter = () => {
    const onlyCommands = typed().startsWith(">");
    const words = plainText(typed().replace(/^>/, "").trim()).split(/\s+/);
    for (const option of all()) {
      const text = plainText(option.textContent), isFound = found.contains(option);
      const fits = (isFound && shownFor === typed()) || words.every((word) => text.includes(word));
      option.hidden = !fits || !isAvailable(option) || (onlyCommands && !option.closest("[data-commands]"));
    }
    for (const group of palette.querySelectorAll('[role="group"]')) group.hidden = !group.querySelector('[role="option"]:not([hidden])');
  };

  const ask = () => {
    const text = typed(), query = new URLSearchParams({ q: text.replace(/^>/, "").trim(), board: palette.dataset.board });
    if (text.startsWith(">")) query.set("commands", "1");
    if (!text) query.set("recent", readRecent().join());
    loader.load(`${root}search/suggestions?${query}`, text ? DELAY : 0, (html, code) => {
      shownFor = text;
      found.innerHTML = html ?? "";
      const kept = isChosen && findSelected(shown());
      filter();
      selectOption(input, all(), kept && !kept.hidden ? kept : shown()[0]);
      const problem = { 0: "search_offline", 401: "search_signed_out" }[code] ?? "search_failed";
      showStatus(html === null ? getText(problem) : shown().length ? "" : getText("no_results"));
      waiting?.();
    });
  };

  const update = () => {
    isChosen = waiting = undefined;
    filter();
    selectOption(input, all(), shown()[0]);
    ask();
  };

  const openInNewTab = (option) => {
    if (!option.href) return option.click();
    window.open(option.href, "_blank", "noopener");
    palette.close();
  };
  const openSelected = (isNewTab) => {
    const selected = findSelected(shown());
    waiting = undefined;
    if (selected && isNewTab) openInNewTab(selected);
    else if (selected) selected.click();
    else if (typed() && !typed().startsWith(">")) location.href = `${root}search?${new URLSearchParams({ q: typed() })}`;
  };

  input.addEventListener("input", update);
  input.addEventListener("keydown", (event) => {
    const options = shown(), step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      isChosen = options.length > 0;
      waiting = undefined;
      selectOption(input, all(), nextOption(options, step));
    } else if (event.key !== "Enter") return;
    else {
      const isAsked = !isChosen && typed() && shownFor !== typed() && !typed().startsWith(">");
      const open = () => openSelected(event.metaKey || event.ctrlKey);
      if (isAsked) waiting = open;
      else open();
    }
    event.preventDefault();
  });
  palette.addEventListener("click", (event) => {
    const option = event.target.closest('[role="option"]');
    if (!option || ((event.metaKey || event.ctrlKey) && option.href)) return;
    palette.close();
    if (option.dataset.clicks) buttonOf(option)?.click();
  });
  palette.addEventListener("close", () => {
    loader.cancel();
    waiting = undefined;
  });
  new MutationObserver(() => {
    if (!palette.open) return;
    record();
    input.value = "";
    update();
  }).observe(palette, { attributeFilter: ["open"] });
  document.addEventListener("htmx:after:swap", record);
  record();
})();
