// Copy buttons: [data-copy="text"], or [data-copy] with [data-copy-from="id of an element"].
(() => {
  const write = async (text) => {
    if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const from = document.getElementById(button.dataset.copyFrom ?? "");
    await write(from ? from.textContent : button.dataset.copy || location.href);
    const words = button.querySelector("span");
    const label = words ? words.textContent : button.getAttribute("aria-label");
    const setLabel = (text) => { if (words) words.textContent = text; else button.setAttribute("aria-label", text); };
    const copied = getText("copied");
    if (label === copied) return;
    setLabel(copied);
    document.getElementById("announce").textContent = copied;
    setTimeout(() => setLabel(label), 2000);
  });
})();
