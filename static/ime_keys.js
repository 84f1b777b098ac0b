// The keys of an input method, such as Enter and Escape while Chinese is written, are not those of the page. In Safari the
// composition ends before the key that ends it, which only the old code of the key tells.
addEventListener("keydown", (event) => { if (event.isComposing || event.keyCode === 229) event.stopImmediatePropagation(); }, true);
