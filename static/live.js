// The live connection: what state it is in, the banner when it is lost, trying again, and the lamp in
// the title and the favicon. hx-sse holds the connection; it closes it while the tab is hidden.
(() => {
  const PATIENCE = 5000; // ms without a connection before anything is said
  const CATCHING_UP = 1200; // ms for the parts to be fetched after a gap
  const QUIET = 10000; // ms between two messages to screen readers
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

  const lost = (since, text) => {
    show("lost");
    byId("banner").querySelector("[data-banner-since]").textContent = since;
    byId("banner").querySelector("[data-banner-text]").textContent = text;
  };

  const waiting = () => {
    clearTimeout(liveTimer);
    lostTimer ??= setTimeout(() => lost(`You are looking at ${clock(lastGood)}.`,
      "The live connection dropped; it is tried again by itself. Nothing you see is lost, and your drafts are kept."), PATIENCE);
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

  const refused = (status) => {
    if (status === 401) byId("signed-out")?.showModal();
    if (status === 403 || status === 404) lost("This page is no longer shared with you.", "Reload it to see what you may.");
  };

  const retry = () => {
    const connection = document.body._htmx?.sse;
    if (connection) connection.delayCanceller?.();
    else htmx.trigger(document.body, "live:retry");
  };

  document.addEventListener("htmx:sse:before:connection", (event) => {
    if (event.detail.connection.attempt > 0 && !document.hidden) waiting();
  });
  document.addEventListener("htmx:sse:after:connection", (event) => connected(event.detail.connection.attempt > 0 || Boolean(lostTimer)));
  document.addEventListener("htmx:sse:after:message", () => { lastGood = new Date(); });
  document.addEventListener("htmx:sse:error", (event) => refused(event.detail.status));

  // hx-sse never retries a first request that fails. This does.
  document.addEventListener("htmx:finally:request", (event) => {
    if (event.target !== document.body || document.body._htmx?.sse) return;
    waiting();
    refused(event.detail.ctx.response?.status);
    setTimeout(() => htmx.trigger(document.body, "live:retry"), retryDelay = Math.min(retryDelay * 2, 15000));
  });

  // Signed out meanwhile: say so over the page, so that what was typed stays.
  document.addEventListener("htmx:after:request", (event) => {
    if (event.detail.ctx.response.status !== 401) return;
    event.preventDefault();
    refused(401);
  });

  document.addEventListener("click", (event) => { if (event.target.closest("[data-live-retry]")) retry(); });
  addEventListener("online", retry);

  // Another tab has gone to another organization: this one follows, as the server shows one at a time.
  const organization = byId("rail")?.dataset.organization;
  try { if (organization) localStorage.setItem("organization", organization); } catch { /* not told to others */ }
  addEventListener("storage", (event) => { if (event.key === "organization" && organization && event.newValue !== organization) location.reload(); });

  // The lamp: its count is also in the title and in the favicon, and is said once in a while.
  let needs = byId("rail")?.dataset.needs, said = 0;
  const lamp = () => {
    const count = Number(byId("rail")?.dataset.needs ?? 0);
    const title = document.title.replace(/^\(\d+\) /, "");
    const wanted = count ? `(${count}) ${title}` : title;
    if (document.title !== wanted) document.title = wanted;
    const favicon = byId("favicon"), drawing = count ? favicon.dataset.lit : favicon.dataset.dark;
    if (favicon.getAttribute("href") !== drawing) favicon.setAttribute("href", drawing);
    const more = count - Number(needs ?? 0);
    needs = count;
    navigator.setAppBadge?.(count).catch(() => {});
    if (more > 0 && Date.now() - said > QUIET) {
      said = Date.now();
      byId("announce").textContent = more === 1 ? "1 new question" : `${more} new questions`;
    }
  };
  document.addEventListener("htmx:after:swap", () => { if (byId("rail")) lamp(); });
})();
