"""Pausing the agents of a board: it asks first, and whoever looks at the board sees it."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.furnished import LOOKS
from tests.browser.home import Home
from tests.browser.pages import PHONE, WIDE, faults_of, scrolls_sideways


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
async def test_pausing_asks_first_and_is_seen_at_once_by_everybody(home: Home, size) -> None:
    board = home.board("Quay")
    home.agent(board).call("POST", "/agent/heartbeat")
    here = f"/boards/{board['id']}"
    async with home.open(here) as other, home.open(here, viewport=size) as page:
        await expect(other.locator("#live[data-state=live]")).to_be_visible()
        await page.get_by_role("button", name="Pause agents").click()
        await expect(page.get_by_role("heading", name="Pause all agents on Quay?")).to_be_visible()
        assert await faults_of(page) == []
        await page.get_by_role("button", name="Let them work").click()
        await expect(page.locator("#paused")).to_be_hidden()

        await page.get_by_role("button", name="Pause agents").click()
        await page.get_by_role("button", name="Pause all agents").click()
        for looked_at in (page, other):
            await expect(looked_at.locator("#paused")).to_contain_text("Paused by you")
            await expect(looked_at.locator("#pause")).to_be_hidden()
            await expect(looked_at.locator("#crew")).to_contain_text("Paused")
        await expect(page.locator("dialog[open]")).to_have_count(0)
        for theme in LOOKS:
            await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
            assert await faults_of(page) == []
        assert not await scrolls_sideways(page)

        await page.get_by_role("button", name="Resume").click()
        for looked_at in (page, other):
            await expect(looked_at.locator("#paused")).to_be_hidden()
            await expect(looked_at.locator("#pause")).to_be_visible()


async def test_the_palette_pauses_too(home: Home) -> None:
    board = home.board("Quay")
    async with home.open(f"/boards/{board['id']}") as page:
        await page.keyboard.press("Control+k")
        await page.keyboard.type("pause")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Pause all agents").click()
        await expect(page.locator("#paused")).to_contain_text("Paused by you")


async def test_without_scripts_it_is_done_at_once(home: Home) -> None:
    board = home.board("Quay")
    async with home.open(f"/boards/{board['id']}", java_script_enabled=False) as page:
        await page.get_by_role("button", name="Pause agents").click()
        await expect(page.locator("#paused")).to_contain_text("Paused by you")
        await page.get_by_role("button", name="Resume").click()
        await expect(page).to_have_url(re.compile(f"/boards/{board['id']}$"))
        await expect(page.locator("#paused")).to_be_hidden()
