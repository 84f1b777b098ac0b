// ⌘↵ or Ctrl+↵ in a text box submits its form, and in the other fields of a form that has a text box; not there if ↵
// submits nothing or something else (ignore_enter in templates/macros/forms.html, buttons that close a dialog).
// With data-enter="send" ↵ alone submits a text box, too, and ⇧↵ inserts a line break.
// They send the value of the main button. In a form that decides they press the button without a value, if there is one:
// decision_guard.js knows when it works. A held key submits once.
document.addEventListener("keydown", (event) => {
  const { form, localName, dataset } = event.target;
  if (event.key !== "Enter" || !form || !["textarea", "input", "select"].includes(localName)) return;
  const controls = [...form.elements], buttons = controls.filter((one) => one.type === "submit" && one.formMethod !== "dialog");
  const isInEveryField = controls.some((one) => one.localName === "textarea") && !controls.some((one) => one.formMethod === "dialog");
  const isWithKey = (event.metaKey || event.ctrlKey) && (localName === "textarea" || isInEveryField);
  if (!isWithKey && (dataset.enter !== "send" || event.shiftKey)) return;
  event.preventDefault();
  if (event.repeat) return;
  const unnamed = buttons.find((one) => !one.name);
  if (controls.some((one) => one.dataset.decides)) unnamed?.click();
  else form.requestSubmit(unnamed ?? buttons.find((one) => one.matches(".btn--solid")) ?? buttons[0]);
});
