// In a text box, ⌘↵ or Ctrl+↵ submits the form; with data-enter="send" ↵ does, too, and ⇧↵ inserts a line break.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.matches?.("textarea")) return;
  const sends = event.metaKey || event.ctrlKey || (event.target.dataset.enter === "send" && !event.shiftKey);
  if (!sends || !event.target.form) return;
  event.preventDefault();
  event.target.form.requestSubmit();
});
