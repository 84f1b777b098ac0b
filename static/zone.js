// A choice of time zone that nobody has made yet is the browser's: select[data-zone].
for (const choice of document.querySelectorAll("select[data-zone]")) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!choice.value && [...choice.options].some((option) => option.value === zone)) choice.value = zone;
}
