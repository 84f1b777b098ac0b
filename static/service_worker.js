// Shows push notifications, opens the page of one that is clicked, and reports a renewed subscription. It caches nothing.
const toUrl = (address) => new URL(address, self.registration.scope).href;
const ICON = toUrl("static/app-icons/app-192.png");

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

const readMessage = (event) => {
  try {
    return event.data.json();
  } catch {
    return {};
  }
};

self.addEventListener("push", (event) => {
  const { title, body, url, tag, language, is_urgent } = readMessage(event);
  event.waitUntil(self.registration.showNotification(title || "Mission Control", {
    body: body || "",
    tag: tag || "mission-control", // a repeated message replaces the earlier one
    lang: language || "",
    requireInteraction: Boolean(is_urgent),
    icon: ICON,
    badge: ICON,
    data: { url: url || toUrl("") },
  }));
});

// The browser has replaced the subscription, or ended it: then a new one is made with the same key.
self.addEventListener("pushsubscriptionchange", (event) => {
  event.waitUntil((async () => {
    const { oldSubscription: old, newSubscription } = event;
    if (!old) return; // the user has withdrawn the permission, or the browser is too old to say
    const renewed = newSubscription ?? await self.registration.pushManager.subscribe(old.options);
    const { endpoint, keys } = renewed.toJSON();
    const response = await fetch(toUrl("settings/channels/subscription-renewals"), {
      method: "POST",
      body: new URLSearchParams({ old_endpoint: old.endpoint, endpoint, ...keys }),
    });
    if (!response.ok) throw new Error(`The renewal failed: ${response.status}`);
  })());
});

// Only pages of this origin are opened, whatever host a message names.
const toLocalUrl = (url) => {
  const { pathname, search, hash } = new URL(url, self.location.origin);
  return new URL(pathname + search + hash, self.location.origin).href;
};

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = toLocalUrl(event.notification.data?.url ?? toUrl(""));
  event.waitUntil((async () => {
    const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const shown = windows.find((one) => one.url === url);
    return shown ? shown.focus() : self.clients.openWindow(url);
  })());
});
