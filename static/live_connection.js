// Connects a page to the live connection that all tabs of its user share: in a SharedWorker, else (also if its script
// cannot be loaded) in the visible tab that has a lock (Web Locks) and reaches the others by a BroadcastChannel, else in
// each tab. The address is body[data-live]: the user and organization (for), the last event that the page shows
// (after), and its board. The worker runs the script body[data-live-hub-script].
// A hidden tab leaves; when it is visible again, it continues after the last event that it has seen.
// Events: live:state { state, status } on the document; each message is an event of the body with its name, followed by
// live:message { name }. The event live:retry on the document, the focus
// and a new network connect again at once.
(() => {
  if (!document.body.dataset.live) return;
  const SILENCE = 75000; // ms without a ping after which the worker, or the other tab, is gone
  const { pathname, searchParams } = new URL(document.body.dataset.live, location.href);
  const key = searchParams.get("for"), board = searchParams.get("board") ?? undefined;
  const script = document.body.dataset.liveHubScript;
  const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
  let after = Number(searchParams.get("after")), connection, opened = 0, silence, hasWorkerFailed = false;

  const openWorker = (receive) => {
    const worker = new SharedWorker(script, key), { port } = worker;
    port.onmessage = ({ data }) => receive(data);
    worker.onerror = () => {
      hasWorkerFailed = true;
      leave();
      connect();
    };
    const close = () => {
      worker.onerror = null;
      port.close();
    };
    return { send: (message) => port.postMessage(message), close };
  };

  const openOwn = (receive) => {
    const hub = new LiveHub(key, pathname);
    return { send: (message) => hub.receive(message, receive), close: () => hub.close() };
  };

  // Visible tabs wait for the lock; whoever has it is the leader, and pings the others, which then join.
  const openChannel = (receive) => {
    const name = `live ${key}`, channel = new BroadcastChannel(name), waiting = new AbortController();
    let hub, release;
    channel.onmessage = ({ data: { to, message } }) => {
      if (!to) hub?.receive(message, (answer) => channel.postMessage({ to: message.id, message: answer }));
      else if (to === id || to === "all") receive(message);
    };
    const lead = () => new Promise((end) => {
      hub = new LiveHub(key, pathname);
      release = end;
      channel.postMessage({ to: "all", message: { type: "ping" } });
      receive({ type: "ping" });
    });
    navigator.locks.request(name, { signal: waiting.signal }, lead).catch(() => {});
    return {
      send: (message) => hub ? hub.receive(message, receive) : channel.postMessage({ message }),
      close: () => { waiting.abort(); hub?.close(); release?.(); channel.close(); },
    };
  };

  const open = (receive) => {
    try {
      if (self.SharedWorker && !hasWorkerFailed) return openWorker(receive);
      if (self.BroadcastChannel && navigator.locks) return openChannel(receive);
    } catch { /* the browser forbids it, for example without storage */ }
    return openOwn(receive);
  };

  const emit = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
  const send = (type) => connection?.send({ type, id, after, board });

  const receive = (message) => {
    clearTimeout(silence);
    silence = setTimeout(restart, SILENCE);
    if (message.type === "ping") return send("here");
    if (message.type === "state") return emit("live:state", message);
    const { name, data, seq } = message;
    if (seq !== undefined) after = seq;
    if (data && board && !data.split(" ").includes(board)) return; // it is about other boards
    htmx.trigger(document.body, name, { data });
    emit("live:message", { name });
  };

  const connect = () => {
    if (connection || document.hidden) return;
    const number = ++opened;
    connection = open((message) => { if (number === opened) receive(message); });
    silence = setTimeout(restart, SILENCE);
    send("join");
  };

  const leave = () => {
    clearTimeout(silence);
    send("leave");
    connection?.close();
    connection = undefined;
    opened += 1;
  };

  const restart = () => {
    leave();
    emit("live:state", { state: "lost" });
    connect();
  };

  // The server does not answer for another user who has signed in meanwhile.
  document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => { ctx.request.headers["Shown-To"] = key; });
  document.addEventListener("visibilitychange", () => document.hidden ? leave() : restart());
  document.addEventListener("live:retry", () => send("retry"));
  addEventListener("focus", () => send("retry"));
  addEventListener("online", () => send("retry"));
  addEventListener("pagehide", leave);
  // The listeners of htmx are added first, when the page has been parsed.
  document.addEventListener("DOMContentLoaded", connect);
})();
