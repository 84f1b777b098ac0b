// ⌘↵ or Ctrl+↵ in a text box submits its form. In the other fields of a form that has a text box they do so, too, unless
// the form has a button that sends nothing (ignore_enter in templates/macros/forms.html). A held key submits once.
// With data-enter="send" ↵ alone submits a text box, and ⇧↵ inserts a line break.
// The main button is used: one that has neither a name nor its own address, or else the solid one. In a form that decides,
// the first button without a name is pressed, if there is one: decision_guard.js knows when it works.
document.addEventListener("keydown", (event) => {
  const { form, localName, dataset } = event.target;
  if (event.key !== "Enter" || !form || !["textarea", "input", "select"].includes(localName)) return;
  const controls = [...form.elements], buttons = controls.filter((one) => one.type === "submit" && one.formMethod !== "dialog");
  const isInEveryField = controls.some((one) => one.localName === "textarea") && !controls.some((one) => one.formMethod === "dialog");
  const isWithKey = (event.metaKey || event.ctrlKey) && (localName === "textarea" || isInEveryField);
  if (!isWithKey && (dataset.enter !== "send" || event.shiftKey)) return;
  event.preventDefault();
  if (event.repeat) return;
  const unnamed = buttons.filter((one) => !one.name);
  if (controls.some((one) => one.dataset.decides)) unnamed[0]?.click();
  else form.requestSubmit(unnamed.find((one) => !one.hasAttribute("formaction")) ?? buttons.find((one) => one.matches(".btn--solid")) ?? buttons[0]);
});
