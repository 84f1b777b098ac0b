"""What an accessibility check of a page depends on, so that nothing is checked twice in vain.

The contrast of a text depends on its colour, its size and what is behind it. A theme changes only
colours: what covers a text is checked with the first theme on every page in every size. So in the
other theme a text is checked unless the same element, in the same elements with the same classes
and colours, was checked on any page before.

All other rules, except those of `LAYOUT_RULES`, depend on the document and on what of it is shown.
"""

from typing import Any

from playwright.async_api import Page

LAYOUT_RULES = ("link-in-text-block", "scrollable-region-focusable", "skip-link", "target-size")
"""The rules of axe whose results depend on sizes and positions, besides the contrast."""

HASH = """
const hash = (text) => {
    let [a, b] = [0xdeadbeef, 0x41c6ce57];
    for (let index = 0; index < text.length; index++) {
        const code = text.charCodeAt(index);
        a = Math.imul(a ^ code, 2654435761);
        b = Math.imul(b ^ code, 1597334677);
    }
    return (b >>> 0) * 2 ** 21 + (a >>> 11);
};
"""
FIND_CONTRAST_VIOLATIONS = f"""async ([known, exclude]) => {{
    {HASH}
    const seen = new Set(known), found = new Map(), added = new Set(), include = [];
    const describe = (element) => {{
        if (!element) return 0;
        if (!found.has(element)) {{
            const style = getComputedStyle(element);
            found.set(element, hash([
                describe(element.parentElement), element.tagName, element.getAttribute("class"),
                style.backgroundColor, style.backgroundImage, style.opacity, style.filter,
                style.mixBlendMode,
            ].join()));
        }}
        return found.get(element);
    }};
    const hasText = (element) =>
        element.matches("input, textarea, select") ||
        [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const excluded = exclude.join() || "no-element";
    for (const element of document.body.querySelectorAll("*")) {{
        if (!hasText(element) || !element.checkVisibility() || element.closest(excluded)) continue;
        const style = getComputedStyle(element);
        const size = parseFloat(style.fontSize);  // large texts need less contrast
        const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        const text = [style.color, isLarge, style.textShadow];
        const key = hash([describe(element), ...text].join());
        if (seen.has(key)) continue;
        seen.add(key);
        added.add(key);
        include.push(element);
    }}
    if (!include.length) return [[], []];
    const options = {{
        runOnly: {{ type: "rule", values: ["color-contrast"] }},
        resultTypes: ["violations"],
        iframes: false,
        preload: false,
    }};
    const context = {{ include, exclude: exclude.map((one) => [one]) }};
    const result = await axe.run(context, options);
    return [result.violations, [...added]];
}}"""
DESCRIBE_SHOWN = f"""(exclude) => {{
    {HASH}
    const excluded = exclude.join() || "no-element";
    const properties = {{ visibilityProperty: true, opacityProperty: true }};
    return hash([...document.querySelectorAll("*")].map((element) => {{
        if (element.closest(excluded)) return "";
        if (!element.checkVisibility(properties)) return 0;
        const style = getComputedStyle(element);
        return [style.position, style.clip, style.clipPath, style.textIndent];
    }}).join(";"));
}}"""


async def describe_shown(page: Page, exclude: list[str]) -> int:
    """Return a number that changes if the page shows other elements, or hides them otherwise."""
    return await page.evaluate(DESCRIBE_SHOWN, exclude)


class CheckedTexts:
    """The texts whose contrast was checked in the second theme."""

    def __init__(self) -> None:
        self._checked: set[int] = set()

    async def list_violations(self, page: Page, exclude: list[str]) -> list[Any]:
        """Return the violations of texts that were not checked before."""
        known = sorted(self._checked)
        violations, added = await page.evaluate(FIND_CONTRAST_VIOLATIONS, [known, exclude])
        if not violations:
            self._checked.update(added)
        return [
            f"{fault['id']}: {fault['help']} {node['target']}"
            for fault in violations
            for node in fault["nodes"]
        ]
