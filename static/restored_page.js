// Reloads a page that the back/forward cache restored: its data is old, and its user may have signed out since then.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  document.documentElement.hidden = true;
  location.reload();
});
