// The live connection that the tabs of a user share. It runs in a SharedWorker, or in one of the tabs
// (static/live_connection.js decides). Its key names the user and the organization; the server accepts no other.
// Tabs send { type: "join", id, after, board }, then "here" as the answer to a ping, "retry" and "leave". They receive
// { type: "ping" }, { type: "state", state: "open" or "lost", status } and { type: "message", name, data, seq }.
// The connection names the boards of all tabs, and continues after the last event that every tab has seen.
(() => {
  const COLLECT = 30; // ms in which several changes become one connection
  const LEAVE = 1000; // ms in which a tab that loads another page is expected again
  const PING = 30000; // ms; a tab that has not answered until the next ping is gone
  const SILENCE = 45000; // ms without data after which a connection is broken; the server sends something every 15 s
  const MAX_DELAY = 30000; // ms between two attempts to connect

  self.LiveHub = class {
    #tabs = new Map(); // by id: { send, board, isThere, leaving }
    #key; #address; #pings; #updating; #retrying; #silence; #connection; #position;
    #boards = ""; #mustRestart = false; #isOpen = false; #attempt = 0; #retryDelay = 1000;

    constructor(key, address) {
      this.#key = key;
      this.#address = address;
      this.#pings = setInterval(() => this.#ping(), PING);
    }

    receive({ type, id, after, board }, send) {
      if (type === "retry") return this.#retry();
      const tab = this.#tabs.get(id);
      clearTimeout(tab?.leaving);
      if (type === "leave") {
        if (tab) tab.leaving = setTimeout(() => this.#remove(id), LEAVE);
      } else if (type === "here" && tab) {
        tab.isThere = true;
      } else {
        this.#tabs.set(id, { send, board, isThere: true });
        this.#continueAfter(after);
        if (this.#isOpen && !this.#mustRestart) send({ type: "state", state: "open" });
        this.#update();
      }
    }

    close() {
      clearInterval(this.#pings);
      for (const { leaving } of this.#tabs.values()) clearTimeout(leaving);
      this.#tabs.clear();
      this.#stop();
    }

    #ping() {
      for (const [id, tab] of this.#tabs) {
        if (!tab.isThere) this.#remove(id);
        tab.isThere = false;
        tab.send({ type: "ping" });
      }
    }

    #remove(id) {
      this.#tabs.delete(id);
      this.#update();
    }

    #continueAfter(seq) {
      if (this.#position <= seq) return;
      this.#position = seq;
      this.#mustRestart = true;
    }

    #retry() {
      if (this.#isOpen || !this.#tabs.size) return;
      this.#attempt = 0;
      this.#connect();
    }

    #update() {
      this.#updating ??= setTimeout(() => {
        this.#updating = undefined;
        if (!this.#tabs.size) return this.#stop();
        const boards = [...new Set([...this.#tabs.values()].map(({ board }) => board ?? ""))];
        const parameters = boards.sort().map((board) => `&board=${board}`).join("");
        if (this.#connection && this.#boards === parameters && !this.#mustRestart) return;
        this.#boards = parameters;
        this.#connect();
      }, COLLECT);
    }

    #stop() {
      for (const timer of [this.#updating, this.#retrying, this.#silence]) clearTimeout(timer);
      this.#connection?.abort();
      this.#connection = this.#position = this.#updating = undefined;
      this.#isOpen = false;
    }

    async #connect() {
      clearTimeout(this.#retrying);
      this.#connection?.abort();
      this.#mustRestart = false;
      const connection = this.#connection = new AbortController();
      const address = `${this.#address}?for=${encodeURIComponent(this.#key)}&after=${this.#position}${this.#boards}`;
      let status = 0;
      try {
        this.#expectData(connection);
        const response = await fetch(address, { headers: { Accept: "text/event-stream" }, cache: "no-store", redirect: "manual", signal: connection.signal });
        status = response.type === "opaqueredirect" ? 403 : response.status;
        if (status === 200) await this.#read(response.body.getReader(), connection);
      } catch { /* the network is lost, or the connection was replaced */ }
      if (this.#connection === connection) this.#lose(status);
    }

    async #read(reader, connection) {
      const decoder = new TextDecoder();
      this.#isOpen = true;
      this.#attempt = 0;
      this.#tell({ type: "state", state: "open" });
      for (let text = ""; ;) {
        const { done, value } = await reader.read();
        if (done || this.#connection !== connection) return;
        this.#expectData(connection);
        const messages = (text + decoder.decode(value, { stream: true })).split(/\r\n\r\n|\n\n/);
        text = messages.pop();
        messages.forEach((message) => this.#forward(message));
      }
    }

    #forward(message) {
      const lines = message.split(/\r?\n/).map((line) => /^(\w+): ?(.*)$/.exec(line)?.slice(1)).filter(Boolean);
      const { event, data, id, retry } = Object.fromEntries(lines);
      if (retry) this.#retryDelay = Number(retry);
      if (id) this.#position = Number(id);
      if (event && event !== "hello") this.#tell({ type: "message", name: event, data: data ?? "", seq: id && Number(id) });
    }

    #expectData(connection) {
      clearTimeout(this.#silence);
      this.#silence = setTimeout(() => connection.abort(), SILENCE);
    }

    // The random part keeps many browsers from reconnecting at the same moment after a restart.
    #lose(status) {
      clearTimeout(this.#silence);
      this.#connection = undefined;
      this.#isOpen = false;
      this.#tell({ type: "state", state: "lost", status });
      const delay = Math.min(this.#retryDelay * 2 ** this.#attempt++, MAX_DELAY);
      this.#retrying = setTimeout(() => this.#connect(), delay * (0.7 + 0.6 * Math.random()));
    }

    #tell(message) {
      for (const { send } of this.#tabs.values()) send(message);
    }
  };

  if (typeof SharedWorkerGlobalScope === "undefined") return;
  const hub = new self.LiveHub(self.name, new URL("../events", self.location).pathname);
  self.onconnect = ({ ports: [port] }) => {
    port.onmessage = ({ data }) => hub.receive(data, (message) => port.postMessage(message));
  };
})();
