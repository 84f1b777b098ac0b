// The state of the live connection (static/live_connection.js), the banner while it is lost, and the number of pending
// decisions in the title and the favicon.
(() => {
  const LOST_DELAY = 5000; // ms without a connection until the banner appears
  const CATCHING_UP = 1200; // ms to reload the parts after a reconnect
  const ANNOUNCE_INTERVAL = 10000; // ms between two messages to screen readers
  const byId = (id) => document.getElementById(id);
  let lastGood = new Date(), lostTimer, liveTimer;

  const show = (state) => {
    const live = byId("live");
    if (!live) return;
    live.dataset.state = state;
    delete live.dataset.new;
    live.textContent = getText(state);
    live.title = state === "lost" ? "" : getText("connected", { time: clock(new Date()) });
    byId("banner").hidden = state !== "lost";
    byId("not-shared").hidden = true;
  };

  // Like 09:05, in all our languages. The first format of Intl takes 20 ms of each page.
  const clock = (moment) => moment.toTimeString().slice(0, 5);

  const showLost = (since, text) => {
    show("lost");
    byId("banner").querySelector("[data-banner-since]").textContent = since;
    byId("banner").querySelector("[data-banner-text]").textContent = text;
  };

  const disconnected = () => {
    clearTimeout(liveTimer);
    lostTimer ??= setTimeout(() => showLost(getText("outdated", { time: clock(lastGood) }), getText("reconnecting")), LOST_DELAY);
  };

  const connected = () => {
    const again = Boolean(lostTimer);
    clearTimeout(lostTimer);
    clearTimeout(liveTimer);
    lostTimer = undefined;
    lastGood = new Date();
    byId("signed-out")?.close();
    if (!again) return show("live");
    show("catching-up");
    liveTimer = setTimeout(() => show("live"), CATCHING_UP);
  };

  const rejected = (status) => {
    if (status === 401 && !byId("signed-out")?.open) byId("signed-out")?.showModal();
    if (status !== 403 && status !== 404 && status !== 409) return;
    clearTimeout(lostTimer); // what it would show is not true: the connection is not restored
    show("lost");
    byId("banner").hidden = true;
    byId("not-shared").hidden = false;
  };

  document.addEventListener("live:state", ({ detail: { state, status } }) => {
    if (state === "open") return connected();
    disconnected();
    rejected(status);
  });
  document.addEventListener("live:message", () => { lastGood = new Date(); });

  // The server has left out messages, because this page did not read them in time: reload all parts.
  document.addEventListener("reset", (event) => {
    if (event.target !== document.body) return; // a form was reset
    const names = new Set(), reloading = "[hx-trigger*='from:body']";
    for (const part of document.querySelectorAll(reloading)) {
      if (part.parentElement.closest(reloading)) continue; // it is reloaded with the part around it
      const own = [...part.getAttribute("hx-trigger").matchAll(/([\w-]+) from:body/g)].map(([, name]) => name);
      if (!own.some((name) => names.has(name))) names.add(own[0]);
    }
    names.forEach((name) => htmx.trigger(document.body, name));
  });

  // The sidebar reloads by itself; controls outside of parts are of the former rights until the page is loaded again.
  document.addEventListener("rights", () => { if (byId("rights-changed")) byId("rights-changed").hidden = false; });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-reload]")) location.reload(); });

  // After the session has ended, a dialog says so, so that typed text is kept.
  document.addEventListener("htmx:after:request", (event) => {
    if (event.detail.ctx.response.status !== 401) return;
    event.preventDefault();
    rejected(401);
  });

  document.addEventListener("click", (event) => { if (event.target.closest("[data-live-retry]")) document.dispatchEvent(new Event("live:retry")); });

  // When another tab switches the organization, reload, because the server shows one organization at a time.
  const organization = byId("palette")?.dataset.organization;
  try { if (organization) localStorage.setItem("organization", organization); } catch { /* storage is not available */ }
  addEventListener("storage", (event) => { if (event.key === "organization" && organization && event.newValue !== organization) location.reload(); });

  // The number of pending decisions is shown in the title and the favicon, and announced at intervals.
  // What the user's own Undo brings back is not new to them.
  const OWN_UNDO = 5000; // ms after an own Undo in which nothing is announced
  const prefixOf = (count) => Number(count ?? 0) ? `(${count}) ` : "";
  let shownCount = byId("rail")?.dataset.needs, announcedAt = 0, undoneAt = 0;
  document.addEventListener("submit", (event) => { if (event.target.getAttribute("action")?.includes("/undoings")) undoneAt = Date.now(); }, true);
  const updateCount = () => {
    const count = Number(byId("rail")?.dataset.needs ?? 0);
    const shown = prefixOf(shownCount), title = document.title;
    const newTitle = prefixOf(count) + (title.startsWith(shown) ? title.slice(shown.length) : title);
    if (title !== newTitle) document.title = newTitle;
    const favicon = byId("favicon"), drawing = count ? favicon.dataset.lit : favicon.dataset.dark;
    if (favicon.getAttribute("href") !== drawing) favicon.setAttribute("href", drawing);
    const more = count - Number(shownCount ?? 0);
    shownCount = count;
    navigator.setAppBadge?.(count).catch(() => {});
    if (more > 0 && Date.now() - undoneAt > OWN_UNDO && Date.now() - announcedAt > ANNOUNCE_INTERVAL) {
      announcedAt = Date.now();
      byId("announce").textContent = getText("waiting", { count: more });
    }
  };
  document.addEventListener("htmx:after:swap", () => { if (byId("rail")) updateCount(); });
  updateCount(); // the badge of the app is of its last use
})();
