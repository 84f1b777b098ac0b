// The form of a custom field: [data-key-from] shows the key that the server derives from the name.
// The form of a tag: [data-slug-from] fills the slug from the name; in [data-colour] the text and the colour picker
// follow each other, and [data-preview] shows the result. The server derives a blank slug by the same rule.
(() => {
  const HEX = /^#?([0-9a-f]{6})$/i;
  const slugify = (name) => name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 200);
  const deriveKey = (name) => name.toLowerCase().replaceAll("ß", "ss").normalize("NFKD").replace(/[^\x00-\x7f]/g, "").replace(/[^a-z0-9]+/g, "_").replace(/^[\d_]+|_+$/g, "").slice(0, 200);
  document.addEventListener("input", (event) => {
    const key = event.target.id && document.querySelector(`[data-key-from="${CSS.escape(event.target.id)}"]`);
    if (key) key.placeholder = deriveKey(event.target.value);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-slug-from]");
    if (!button) return;
    const slug = document.getElementById(button.dataset.slugTo);
    slug.value = slugify(document.getElementById(button.dataset.slugFrom).value);
    slug.dispatchEvent(new Event("input", { bubbles: true }));
    slug.focus();
  });
  document.addEventListener("input", (event) => {
    const row = event.target.closest("form")?.querySelector("[data-colour]");
    if (!row) return;
    const [text, picker] = row.querySelectorAll("input"), preview = row.querySelector("[data-preview]");
    if (event.target === picker) text.value = picker.value.slice(1);
    const hex = HEX.exec(text.value.trim());
    if (hex) {
      picker.value = `#${hex[1].toLowerCase()}`;
      preview.querySelector("rect").setAttribute("fill", picker.value);
    }
    if (event.target.name === "name" && event.target.value.trim()) preview.querySelector(".trunc").textContent = event.target.value;
  });
})();
