// The live connection: its state, the banner while it is lost, reconnects, and the number of pending decisions
// in the title and the favicon. hx-sse keeps the connection, and closes it while the tab is hidden.
(() => {
  const LOST_DELAY = 5000; // ms without a connection until the banner appears
  const CATCHING_UP = 1200; // ms to reload the parts after a reconnect
  const ANNOUNCE_INTERVAL = 10000; // ms between two messages to screen readers
  const WORDS = { live: "Live", "catching-up": "Catching up", lost: "Connection lost" };
  const byId = (id) => document.getElementById(id);
  let lastGood = new Date(), lostTimer, liveTimer, retryDelay = 500;

  const show = (state) => {
    const live = byId("live");
    if (!live) return;
    live.dataset.state = state;
    live.textContent = WORDS[state];
    live.title = state === "lost" ? "" : `Connected. Last news at ${clock(new Date())}.`;
    byId("banner").hidden = state !== "lost";
  };

  const clock = (moment) => moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

  const showLost = (since, text) => {
    show("lost");
    byId("banner").querySelector("[data-banner-since]").textContent = since;
    byId("banner").querySelector("[data-banner-text]").textContent = text;
  };

  const disconnected = () => {
    clearTimeout(liveTimer);
    lostTimer ??= setTimeout(() => showLost(`You are looking at ${clock(lastGood)}.`,
      "The live connection dropped; it is tried again by itself. Nothing you see is lost, and your drafts are kept."), LOST_DELAY);
  };

  const connected = (again) => {
    clearTimeout(lostTimer);
    clearTimeout(liveTimer);
    lostTimer = undefined;
    retryDelay = 500;
    lastGood = new Date();
    if (!again) return show("live");
    show("catching-up");
    liveTimer = setTimeout(() => show("live"), CATCHING_UP);
  };

  const rejected = (status) => {
    if (status === 401) byId("signed-out")?.showModal();
    if (status === 403 || status === 404) showLost("This page is no longer shared with you.", "Reload it to see what you may.");
  };

  const retry = () => {
    const connection = document.body._htmx?.sse;
    if (connection) connection.delayCanceller?.();
    else htmx.trigger(document.body, "live:retry");
  };

  document.addEventListener("htmx:sse:before:connection", (event) => {
    if (event.detail.connection.attempt > 0 && !document.hidden) disconnected();
  });
  document.addEventListener("htmx:sse:after:connection", (event) => connected(event.detail.connection.attempt > 0 || Boolean(lostTimer)));
  document.addEventListener("htmx:sse:after:message", () => { lastGood = new Date(); });
  document.addEventListener("htmx:sse:error", (event) => rejected(event.detail.status));

  // hx-sse does not retry a failed first request.
  document.addEventListener("htmx:finally:request", (event) => {
    if (event.target !== document.body || document.body._htmx?.sse) return;
    disconnected();
    rejected(event.detail.ctx.response?.status);
    retryDelay = Math.min(retryDelay * 2, 15000);
    // The random part keeps many pages from reconnecting at the same moment after a restart.
    setTimeout(() => htmx.trigger(document.body, "live:retry"), retryDelay * (0.5 + Math.random()));
  });

  // After the session has ended, a dialog says so, so that typed text is kept.
  document.addEventListener("htmx:after:request", (event) => {
    if (event.detail.ctx.response.status !== 401) return;
    event.preventDefault();
    rejected(401);
  });

  document.addEventListener("click", (event) => { if (event.target.closest("[data-live-retry]")) retry(); });
  addEventListener("online", retry);

  // When another tab switches the organization, reload, because the server shows one organization at a time.
  const organization = byId("rail")?.dataset.organization;
  try { if (organization) localStorage.setItem("organization", organization); } catch { /* storage is not available */ }
  addEventListener("storage", (event) => { if (event.key === "organization" && organization && event.newValue !== organization) location.reload(); });

  // The number of pending decisions is shown in the title and the favicon, and announced at intervals.
  let shownCount = byId("rail")?.dataset.needs, announcedAt = 0;
  const updateCount = () => {
    const count = Number(byId("rail")?.dataset.needs ?? 0);
    const title = document.title.replace(/^\(\d+\) /, "");
    const newTitle = count ? `(${count}) ${title}` : title;
    if (document.title !== newTitle) document.title = newTitle;
    const favicon = byId("favicon"), drawing = count ? favicon.dataset.lit : favicon.dataset.dark;
    if (favicon.getAttribute("href") !== drawing) favicon.setAttribute("href", drawing);
    const more = count - Number(shownCount ?? 0);
    shownCount = count;
    navigator.setAppBadge?.(count).catch(() => {});
    if (more > 0 && Date.now() - announcedAt > ANNOUNCE_INTERVAL) {
      announcedAt = Date.now();
      byId("announce").textContent = more === 1 ? "1 new question" : `${more} new questions`;
    }
  };
  document.addEventListener("htmx:after:swap", () => { if (byId("rail")) updateCount(); });
})();
