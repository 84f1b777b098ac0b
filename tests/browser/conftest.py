"""A real browser before the real app, started as a person starts it."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.installation import Installation, free_port

ROOT = Path(__file__).parent.parent.parent
AXE = (ROOT / "tests/vendor/axe-4.14.1.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that nobody has used yet."""
    folder = tmp_path_factory.mktemp("installation")
    installation = Installation(folder / "data", free_port(), {"APPROVAL_UNDO_SECONDS": "1"})
    yield installation.start()
    installation.stop()


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert program, "the browser tests need Chrome or Chromium: install one of them"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def tab(browser: Browser, installation: Installation) -> AsyncIterator[Page]:
    """A tab of a browser that knows nobody."""
    context = await new_context(browser, installation)
    yield await context.new_page()
    await context.close()


async def new_context(
    browser: Browser, installation: Installation, **options: Any
) -> BrowserContext:
    options = {"viewport": WIDE, "base_url": installation.url, "reduced_motion": "reduce"} | options
    context = await browser.new_context(**options)
    context.set_default_timeout(15_000)
    return context


async def faults_of(page: Page) -> list[str]:
    """Return what axe finds wrong with the page as it stands."""
    await page.evaluate(AXE)
    options = {"runOnly": {"type": "tag", "values": RULES}}
    found = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{fault['id']}: {fault['help']} {node['target']}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


async def scrolls_sideways(page: Page) -> bool:
    return await page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
