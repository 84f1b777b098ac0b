"""Signing out leaves nothing of a user in the browser."""

import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.browser.conftest import FLAGS, find_browser
from tests.support.live_site import OWNER, LiveSite
from tests.support.page_checks import new_context

NO_HISTORY_CACHE = "--disable-back-forward-cache"  # playwright starts browsers with this flag


@pytest.fixture
async def caching_tab(site: LiveSite) -> AsyncIterator[Page]:
    """Open a tab without a session, in a browser with a back/forward cache."""
    async with async_playwright() as playwright:
        caching = await playwright.chromium.launch(
            executable_path=find_browser(), args=FLAGS, ignore_default_args=[NO_HISTORY_CACHE]
        )
        context = await new_context(caching, site.installation)
        yield await context.new_page()
        await caching.close()


async def sign_in(page: Page) -> None:
    await page.goto("/sign-in")
    await page.get_by_label("E-mail").fill(OWNER["email"])
    await page.get_by_role("textbox", name="Password").fill(OWNER["password"])
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("link", name=re.compile("^All boards"))).to_be_visible()


async def sign_out(page: Page) -> None:
    await page.evaluate("document.querySelector('form[action=\"/sign-out\"]').requestSubmit()")
    await expect(page).to_have_url(re.compile("/sign-in$"))


async def test_back_loads_a_page_again_and_shows_nothing_after_signing_out(
    caching_tab: Page, site: LiveSite
) -> None:
    board = site.create_board("Secret harbour")
    task = site.create_task(board, "Paint the door")
    page = caching_tab
    await sign_in(page)
    await page.goto("/settings")
    await page.evaluate("window.isOld = true")
    await page.goto("/sign-in/again")
    await page.go_back()
    await page.wait_for_function("window.isOld === undefined")  # it is loaded again
    await expect(page.get_by_role("heading", name="Settings").first).to_be_visible()

    await page.goto(f"/boards/{board['id']}")
    await expect(page.get_by_role("heading", name="Secret harbour")).to_be_visible()
    await page.locator(f"#task-{task['id']} h3 a").click()
    heading = page.locator("#drawer h2").first
    await expect(heading).to_have_text("Paint the door")
    await page.goto("/settings")
    await page.go_back()
    await expect(heading).to_have_text("Paint the door")
    await expect(page.locator(f"#task-{task['id']}")).to_be_visible()
    await page.goto("/settings")
    await sign_out(page)
    for _ in range(2):
        await page.go_back()
        await expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
        assert "Secret harbour" not in await page.content()
        assert urlsplit(page.url).path == "/sign-in"
