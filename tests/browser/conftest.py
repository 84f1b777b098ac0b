"""A real browser before the real app, started as a person starts it."""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser.furnished import World, furnished, looked_at
from tests.browser.home import Home, move_in
from tests.browser.pages import new_context
from tests.installation import LOCAL, Installation, free_port

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TIME_TO_UNDO = 5  # seconds: enough for a test to take an answer back, and short to wait for

expect.set_options(timeout=15_000)


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


@pytest.fixture(scope="session")
async def home(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """A house that is lived in. The tests share it, so each makes boards of its own."""
    environment = LOCAL | {"APPROVAL_UNDO_SECONDS": str(TIME_TO_UNDO)}
    data = tmp_path_factory.mktemp("lived_in") / "data"
    installation = Installation(data, free_port(), environment).start()
    home = await move_in(browser, installation)
    yield home
    home.close()
    installation.stop()


@pytest.fixture(scope="session")
async def furniture(home: Home) -> AsyncIterator[dict[str, str]]:
    """Something of everything in the house: the ids, by what it is."""
    async with furnished(home) as ids:
        yield ids


@pytest.fixture(scope="module")
async def world(home: Home, furniture: dict[str, str]) -> AsyncIterator[World]:
    """What is looked at: the house, with something of everything in it."""
    async with looked_at(home, furniture) as world:
        yield world


@pytest.fixture
async def tab(browser: Browser, installation: Installation) -> AsyncIterator[Page]:
    """A tab of a browser that knows nobody."""
    context = await new_context(browser, installation)
    yield await context.new_page()
    await context.close()
