// ⌘↵ or Ctrl+↵ in a field submits its form if the form has a text box; with data-enter="send" ↵ in the text box does, too,
// and ⇧↵ inserts a line break. Only in the text box itself if ↵ submits nothing (ignore_enter in templates/macros/forms.html).
document.addEventListener("keydown", (event) => {
  const { form, localName, dataset } = event.target;
  if (event.key !== "Enter" || !form || !["textarea", "input", "select"].includes(localName)) return;
  const controls = [...form.elements];
  const isWithBox = controls.some((one) => one.localName === "textarea") && !controls.some((one) => one.formMethod === "dialog");
  const isWithKey = (event.metaKey || event.ctrlKey) && (localName === "textarea" || isWithBox);
  if (!isWithKey && (dataset.enter !== "send" || event.shiftKey)) return;
  event.preventDefault();
  form.requestSubmit();
});
