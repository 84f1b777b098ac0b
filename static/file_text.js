// File fields that fill a text field with the content of a file: [data-fills="id of the text field"].
document.addEventListener("change", async (event) => {
  const file = event.target.files?.[0];
  const field = document.getElementById(event.target.dataset.fills ?? "");
  if (!file || !field) return;
  event.target.setCustomValidity("");
  if (file.size > field.maxLength) {
    event.target.setCustomValidity(event.target.dataset.tooLarge);
    event.target.reportValidity();
    return;
  }
  field.value = await file.text();
  field.dispatchEvent(new Event("input", { bubbles: true }));
});
