// ⌘↵ or Ctrl+↵ in a field submits its form if the form has a text box; with data-enter="send" ↵ in the text box does, too,
// and ⇧↵ inserts a line break. Only in the text box itself if ↵ submits nothing (ignore_enter in templates/macros/forms.html).
// In a form that decides, they press the button without a value, if there is one: decision_guard.js knows when it works.
document.addEventListener("keydown", (event) => {
  const { form, localName, dataset } = event.target;
  if (event.key !== "Enter" || !form || !["textarea", "input", "select"].includes(localName)) return;
  const controls = [...form.elements];
  const isWithBox = controls.some((one) => one.localName === "textarea") && !controls.some((one) => one.formMethod === "dialog");
  const isWithKey = (event.metaKey || event.ctrlKey) && (localName === "textarea" || isWithBox);
  if (!isWithKey && (dataset.enter !== "send" || event.shiftKey)) return;
  event.preventDefault();
  if (!controls.some((one) => one.dataset.decides)) form.requestSubmit();
  else controls.find((one) => one.type === "submit" && !one.name && one.formMethod !== "dialog")?.click();
});
