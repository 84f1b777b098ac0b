"""Browser contexts, and checks of pages."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, ViewportSize, expect

from tests.support.installation import Installation
from tests.support.tiers import repetition

AXE = (Path(__file__).parent.parent / "vendor/axe-4.14.1.min.js").read_text()
FIND_VIOLATIONS = """async ([exclude, options]) =>
    (await axe.run({ include: document, exclude }, options)).violations"""
LAYOUT = [["#rail"], ["#tabbar"], ["dialog:not([open])"]]
"""Selectors of two thirds of the elements: navigation that all pages share, and closed dialogs.

Nothing of a closed dialog is visible. A test whose subject is the navigation checks it as well.
"""

PATIENCE = 60_000  # ms: what takes longer hangs, also on a busy machine
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDE: ViewportSize = {"width": 1440, "height": 900}
NO_WORKER = "delete self.SharedWorker"
OWN_CONNECTION = f"{NO_WORKER}; delete self.BroadcastChannel"
"""Scripts for tabs that do not share a connection; the requests of a worker cannot be observed."""
TABLET: ViewportSize = {"width": 768, "height": 1024}
PHONE: ViewportSize = {"width": 360, "height": 740}


def in_sizes(first: ViewportSize, *others: ViewportSize) -> pytest.MarkDecorator:
    """Run a test in the first size of a window, and in a complete run in the other sizes too."""
    sizes = [pytest.param(first, id=f"{first['width']}")]
    sizes += [pytest.param(one, id=f"{one['width']}", marks=repetition) for one in others]
    return pytest.mark.parametrize("size", sizes)


async def new_context(
    browser: Browser, installation: Installation, **options: Any
) -> BrowserContext:
    options = {"viewport": WIDE, "base_url": installation.url, "reduced_motion": "reduce"} | options
    context = await browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    return context


async def choose(button: Locator, name: str, *, is_searched: bool = True) -> None:
    """Choose an option of a picker, which shows only the first until it is searched.

    The option for no value is not found by a search. A picker of several values stays open.
    """
    await button.click()
    panel = button.page.locator("#picker-panel")
    if is_searched:
        await panel.get_by_role("combobox").fill(name)
    # Else the list changes under the pointer, which is beside it then.
    await expect(panel.locator("[data-found]")).to_have_attribute("aria-busy", "false")
    await panel.get_by_role("option", name=name).first.click()


async def close_context(context: BrowserContext) -> None:
    """Close a browser context.

    If a request is still in a handler of a route, the error of that handler is ignored: it would be
    raised in the next test.
    """
    for page in context.pages:
        await page.unroute_all(behavior="ignoreErrors")
    await context.close()


async def list_axe_violations(
    page: Page, *rules: str, skip: str = "", with_layout: bool = False
) -> list[str]:
    """Return the accessibility violations of a page: by all rules but one, or by the given ones.

    The sidebar, the tab bar and closed dialogs are checked only `with_layout`.
    """
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    by = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": RULES}
    options: dict[str, Any] = {
        "runOnly": by,
        "resultTypes": ["violations"],
        "iframes": False,
        "preload": False,
    }
    options |= {"rules": {skip: {"enabled": False}}} if skip else {}
    # Selectors of all checked elements take a third of the time; only violations need them.
    exclude = [] if with_layout else LAYOUT
    if not await page.evaluate(FIND_VIOLATIONS, [exclude, options | {"selectors": False}]):
        return []
    return [
        f"{fault['id']}: {fault['help']} {node['target']}"
        for fault in await page.evaluate(FIND_VIOLATIONS, [exclude, options])
        for node in fault["nodes"]
    ]


LIST_OVERFLOWING = """() => {
    const isOutside = (element) => element.getBoundingClientRect().right > innerWidth + 1;
    const isCut = ({ parentElement: around }) => // by a part that scrolls, or shows what fits
        around && around.localName !== "main" &&
        ((getComputedStyle(around).overflowX !== "visible" && !isOutside(around)) || isCut(around));
    const { scrollWidth, clientWidth } = document.documentElement;
    return [...document.querySelectorAll("main *")]
        .filter((element) => isOutside(element) && element.checkVisibility() && !isCut(element))
        .map((element) => element.outerHTML.slice(0, 160))
        .concat(scrollWidth > clientWidth ? [`${scrollWidth} px`] : []);
}"""


async def list_overflowing(page: Page) -> list[str]:
    """Return what is wider than the window: elements of the page, and its width if it scrolls."""
    return await page.evaluate(LIST_OVERFLOWING)


LIST_SMALL_TARGETS = """() => [
    ...document.querySelectorAll(".btn, button:not(.vh *), summary, .prop:not(span), .chip, .input")
].flatMap((target) => {
    if (target.closest(".col__head, .vh") || !target.checkVisibility()) return [];
    const { width, height } = target.getBoundingClientRect();
    const isSmall = width && (height < 43.9 || width < 43.9);
    return isSmall ? [`${width} by ${height} px: ${target.outerHTML.slice(0, 160)}`] : [];
})"""


async def list_small_targets(page: Page) -> list[str]:
    """Return the visible controls of a page that are smaller than 44 px, too small for a finger.

    The heads of columns are read aloud on a phone, not shown. Links in a text are as high as it.
    """
    return await page.evaluate(LIST_SMALL_TARGETS)


LIST_CUT_BUTTONS = """() => [...document.querySelectorAll(".btn")]
    .filter((button) => button.checkVisibility() && button.clientWidth)
    .filter((button) => button.scrollWidth > button.clientWidth)
    .map((button) => `${button.scrollWidth} px: ${button.outerHTML.slice(0, 160)}`)"""


async def list_cut_buttons(page: Page) -> list[str]:
    """Return the visible buttons that are narrower than their text."""
    return await page.evaluate(LIST_CUT_BUTTONS)


def set_hidden(is_hidden: bool) -> str:
    """Return a script that hides the tab, or shows it again."""
    value, state = ("true", "hidden") if is_hidden else ("false", "visible")
    return f"""
        for (const [name, value] of [['hidden', {value}], ['visibilityState', '{state}']])
            Object.defineProperty(document, name, {{value, configurable: true}});
        document.dispatchEvent(new Event('visibilitychange'));
    """


async def cut_connection(page: Page) -> None:
    """Let the pages that the tab opens from now on receive no events."""
    await page.add_init_script(OWN_CONNECTION)
    await page.route("**/events?**", lambda route: route.abort())
