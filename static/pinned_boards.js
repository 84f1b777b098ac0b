// Pinned boards are dragged to another place, and Alt with an arrow key moves the one with the focus. The buttons beside
// them do the same without scripts. Escape hides the buttons.
(() => {
  const submit = (values) => {
    const form = document.getElementById("move-pin");
    for (const input of form.querySelectorAll("[data-move]")) input.remove();
    for (const [name, value] of Object.entries(values)) {
      const input = Object.assign(document.createElement("input"), { type: "hidden", name, value });
      input.dataset.move = "";
      form.append(input);
    }
    form.requestSubmit();
    for (const input of form.querySelectorAll("[data-move]")) input.remove();
  };
  const initialize = () => {
    const list = document.getElementById("rail-pinned");
    if (!list || Sortable.get(list)) return;
    Sortable.create(list, {
      draggable: "[data-pin]", filter: ".nav__tools", preventOnFilter: false, delay: 200, delayOnTouchOnly: true, animation: 110,
      onStart: ({ item }) => { item.dataset.used = ""; }, // the sidebar is not replaced meanwhile
      onEnd: ({ item, oldIndex, newIndex }) => {
        delete item.dataset.used;
        if (oldIndex !== newIndex) submit({ board_id: item.dataset.pin, before: item.nextElementSibling?.dataset.pin ?? "" });
        else document.dispatchEvent(new Event("part:released"));
      },
    });
  };
  document.addEventListener("keydown", (event) => {
    const direction = { ArrowUp: "up", ArrowDown: "down" }[event.key], row = event.target.closest?.("[data-pin]");
    if (!event.altKey || !direction || !row || event.target.localName !== "a") return;
    event.preventDefault();
    submit({ [direction]: row.dataset.pin });
  });
  document.addEventListener("keydown", (event) => {
    const arrange = event.key === "Escape" && !event.defaultPrevented && document.getElementById("arrange-boards");
    if (!arrange?.open || !event.target.closest?.("#rail-boards")) return;
    event.preventDefault();
    arrange.open = false;
    arrange.firstElementChild.focus();
  }, true); // before what closes the drawer with Escape
  // The response to a move contains the sidebar. Without one, the boards return to their places.
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    if (ctx.request.form?.id !== "move-pin") return;
    document.dispatchEvent(new Event("part:released"));
    if (!(ctx.response?.status < 400)) htmx.trigger(document.getElementById("rail"), "part:reload");
  });
  document.addEventListener("htmx:after:swap", initialize);
  initialize();
})();
