// Fills an empty time zone field [data-zone] with the time zone of the browser.
for (const field of document.querySelectorAll("[data-zone]")) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!field.value && zone) field.value = zone;
}
