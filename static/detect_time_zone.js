// Fills an empty time zone field [data-zone] with the time zone of the browser, and else sends it with [data-detects-zone],
// the form on pages of a user who has none.
{
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const fields = document.querySelectorAll("[data-zone]"), form = document.querySelector("[data-detects-zone]");
  for (const field of fields) if (!field.value && timeZone) field.value = timeZone;
  if (form && timeZone && !fields.length) {
    form.elements.timezone.value = timeZone;
    fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) }).catch(() => {}); // the next page sends it again
  }
}
