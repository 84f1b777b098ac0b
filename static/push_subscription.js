// The form [data-push] subscribes this browser to push notifications with the key of the server, and submits the
// subscription. [data-push-note] says why that is impossible: "unsupported", "blocked" or "failed".
(() => {
  const form = document.querySelector("form[data-push]");
  if (!form) return;

  const show = (name) => {
    for (const note of document.querySelectorAll("[data-push-note]")) note.hidden = note.dataset.pushNote !== name;
    form.hidden = name === "unsupported" || name === "blocked";
  };
  const isSupported = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
  const showState = () => show(!isSupported ? "unsupported" : Notification.permission === "denied" ? "blocked" : "");

  const decodeKey = (text) => {
    const raw = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(raw, (letter) => letter.charCodeAt(0));
  };

  const subscribe = async () => {
    await navigator.serviceWorker.register(`${document.body.dataset.root}service_worker.js`);
    const { pushManager } = await navigator.serviceWorker.ready;
    const options = { userVisibleOnly: true, applicationServerKey: decodeKey(form.dataset.push) };
    try {
      return await pushManager.subscribe(options);
    } catch (error) {
      const earlier = await pushManager.getSubscription(); // with another key of the server
      if (!earlier) throw error;
      await earlier.unsubscribe();
      return pushManager.subscribe(options);
    }
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      if ((await Notification.requestPermission()) !== "granted") return showState();
      const { endpoint, keys } = (await subscribe()).toJSON();
      for (const [name, value] of Object.entries({ endpoint, ...keys })) {
        const field = form.elements.namedItem(name);
        if (field) field.value = value;
      }
      form.submit();
    } catch (error) {
      show("failed");
      document.querySelector("[data-push-error]").textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
  showState();
})();
