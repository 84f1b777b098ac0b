"""Each text is checked once for each appearance, and each page once for what it shows."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page

from tests.support.page_checks import AXE
from tests.support.page_signatures import CheckedTexts, describe_shown
from tests.support.tiers import repetition

pytestmark = repetition  # only a complete run checks a page in several appearances

PAGE = """<main style="background: #fff"><p class="note" style="color: #000">One</p>
<p class="note" style="color: #000">Two</p></main>"""
CHANGES = {
    "colour": "document.querySelector('p').style.color = '#ccc'",
    "background": "document.querySelector('main').style.background = '#222'",
    "opacity": "document.querySelector('main').style.opacity = 0.2",
    "element": "document.querySelector('main').innerHTML += '<h2 style=\"color: #ccc\">Three</h2>'",
}


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context()
    page = await context.new_page()
    await page.set_content(PAGE)
    await page.evaluate(AXE)
    yield page
    await context.close()


@pytest.mark.parametrize("change", CHANGES)
async def test_a_text_is_checked_again_if_it_looks_different(page: Page, change: str) -> None:
    texts = CheckedTexts()
    assert await texts.list_violations(page, []) == []
    await page.evaluate(CHANGES[change])
    for _ in range(2):  # what violates a rule is not remembered
        [violation, *_more] = await texts.list_violations(page, [])
        assert violation.startswith("color-contrast")


async def test_a_page_is_checked_again_if_it_shows_something_else(page: Page) -> None:
    before = await describe_shown(page, ["nav"])
    assert await describe_shown(page, ["nav"]) == before
    for style in ("display: none", "visibility: hidden", "opacity: 0", "clip-path: inset(50%)"):
        await page.locator("p").first.evaluate(
            "(p, style) => p.setAttribute('style', style)", style
        )
        assert await describe_shown(page, ["nav"]) != before, style
