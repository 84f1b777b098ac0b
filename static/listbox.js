// What lists of options below a text box share: the selected option, and requests of which only the newest counts.
window.selectOption = (box, options, selected) => {
  for (const option of options) option.setAttribute("aria-selected", option === selected);
  if (!selected) return box.removeAttribute("aria-activedescendant");
  box.setAttribute("aria-activedescendant", selected.id);
  selected.scrollIntoView({ block: "nearest" });
};

window.findSelected = (options) => options.find((option) => option.getAttribute("aria-selected") === "true");

// The option above or below the selected one; at the end it begins again.
window.nextOption = (options, step) => {
  const at = options.indexOf(findSelected(options));
  return options[at < 0 ? (step > 0 ? 0 : options.length - 1) : (at + step + options.length) % options.length];
};

// load(address, delay, show) calls show(html, status) once the text has not changed for `delay` ms: with null instead of
// HTML if the server refuses, and with the status 0 without a connection. A later load or cancel discards the response.
window.createLoader = () => {
  let timer, newest;
  const cancel = () => {
    clearTimeout(timer);
    newest?.abort();
    newest = undefined;
  };
  const request = async (address, show) => {
    const own = newest = new AbortController();
    let html = null, status = 0;
    try {
      const response = await fetch(address, { headers: { "HX-Request": "true" }, signal: own.signal });
      const text = await response.text();
      status = response.status;
      if (response.ok) html = text;
    } catch { /* no connection, or a newer request */ }
    if (newest === own) show(html, status);
  };
  const load = (address, delay, show) => {
    cancel();
    timer = setTimeout(() => request(address, show), delay);
  };
  return { load, cancel };
};
