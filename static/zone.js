// A time zone that nobody has named yet is the browser's: [data-zone] is an empty field or choice of one.
for (const field of document.querySelectorAll("[data-zone]")) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!field.value && zone) field.value = zone;
}
