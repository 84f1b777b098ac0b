"""Fixtures for tests in a real browser with a real installation."""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from cli.test import BROWSERS
from tests.support.full_site import FullSite, fill_site, open_full_site
from tests.support.installation import LOCAL_AUTH, Installation, find_free_port
from tests.support.live_site import LiveSite, set_up_site
from tests.support.page_checks import new_context

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TIME_TO_UNDO = 15  # seconds: long enough to undo a series of decisions on a busy machine

expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Start a new installation."""
    folder = tmp_path_factory.mktemp("installation")
    installation = Installation(folder / "data", find_free_port(), {"APPROVAL_UNDO_SECONDS": "1"})
    yield installation.start()
    installation.stop()


def find_browser() -> str:
    """Return the path of an installed browser."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert program, "the browser tests need Chrome or Chromium: install one of them"
    return program


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
async def site(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveSite]:
    """Start a site with an owner. The tests share it, so each test creates its own boards."""
    environment = LOCAL_AUTH | {"APPROVAL_UNDO_SECONDS": str(TIME_TO_UNDO)}
    data = tmp_path_factory.mktemp("lived_in") / "data"
    installation = Installation(data, find_free_port(), environment).start()
    site = await set_up_site(browser, installation)
    yield site
    site.close()
    installation.stop()


@pytest.fixture(scope="session")
async def site_ids(site: LiveSite) -> AsyncIterator[dict[str, str]]:
    """Create objects of every kind in the site, and return their ids by name."""
    async with fill_site(site) as ids:
        yield ids


@pytest.fixture(scope="module")
async def world(site: LiveSite, site_ids: dict[str, str]) -> AsyncIterator[FullSite]:
    """Open the site with objects of every kind in two windows."""
    async with open_full_site(site, site_ids) as world:
        yield world


@pytest.fixture
async def tab(browser: Browser, installation: Installation) -> AsyncIterator[Page]:
    """Open a tab without a session."""
    context = await new_context(browser, installation)
    yield await context.new_page()
    await context.close()
