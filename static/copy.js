// Copy buttons: [data-copy="text"], or [data-copy] with [data-copy-from="id of an element"]. If the
// browser refuses, a toast contains the text, which is selected.
(() => {
  const write = async (text, button) => {
    if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea"), focused = document.activeElement;
    area.value = text;
    (button.closest("dialog") ?? document.body).append(area); // nothing outside of an open dialog can be selected
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    focused.focus({ preventScroll: true });
    if (!isCopied) throw new Error("the browser does not copy");
  };
  const offer = (text) => {
    const area = document.createElement("textarea");
    area.value = text;
    area.readOnly = true;
    area.className = "input";
    area.ariaLabel = getText("press_to_copy");
    toasts.showError(area.ariaLabel, area);
    area.select();
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const from = document.getElementById(button.dataset.copyFrom ?? "");
    const text = from ? from.textContent : button.dataset.copy || location.href;
    try { await write(text, button); } catch { return offer(text); }
    const words = button.querySelector("span"), copied = getText("copied");
    const labels = { text: words?.textContent, name: button.getAttribute("aria-label") };
    const setLabels = ({ text, name }) => {
      if (words) words.textContent = text;
      if (labels.name) button.setAttribute("aria-label", name);
    };
    if (Object.values(labels).includes(copied)) return;
    setLabels({ text: copied, name: copied });
    document.getElementById("announce").textContent = copied;
    setTimeout(() => setLabels(labels), 2000);
  });
})();
