"""Pausing the agents of a board: with a confirmation, and updates for all viewers."""

from playwright.async_api import expect

from tests.support.full_site import THEMES
from tests.support.live_site import LiveSite
from tests.support.page_checks import (
    PHONE,
    WIDE,
    in_sizes,
    list_axe_violations,
    list_overflowing,
)
from tests.support.tiers import repetition, select_options


@repetition
@in_sizes(WIDE, PHONE)
async def test_pausing_needs_a_confirmation_and_updates_all_pages(site: LiveSite, size) -> None:
    """See tests/web/test_board_pause.py and tests/web/test_stale_parts.py.

    A stop of all agents is confirmed in the same way: tests/browser/test_agent_stop.py."""
    board = site.create_board("Quay")
    agent, task = site.create_agent(board), site.create_task(board, "Paint the door")
    agent.call("POST", "/agent/heartbeat")
    path = f"/agent/boards/{board['id']}/tasks/{task['id']}"
    agent.client.patch(path, json={"status": "in_progress"}).raise_for_status()
    board_path = f"/boards/{board['id']}"
    async with (
        site.open_page(board_path) as other,
        site.open_page(board_path, viewport=size) as page,
    ):
        await expect(other.locator("#live[data-state=live]")).to_be_visible()
        await page.get_by_role("button", name="Pause agents").click()
        await expect(page.get_by_role("heading", name="Pause all agents on Quay?")).to_be_visible()
        assert await list_axe_violations(page) == []
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#paused")).to_be_hidden()

        await page.keyboard.press("Control+k")
        await page.keyboard.type("pause")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Pause all agents").click()
        for one in (page, other):
            await expect(one.locator("#paused")).to_contain_text("Paused by you")
            await expect(one.get_by_role("button", name="Pause agents")).to_be_hidden()
            await expect(one.locator("#crew")).to_contain_text("Paused")
        await expect(page.locator("dialog[open]")).to_have_count(0)
        for theme in select_options("a paused board", THEMES):
            await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
            assert await list_axe_violations(page) == []
        assert not await list_overflowing(page)

        await page.get_by_role("button", name="Resume").click()
        for one in (page, other):
            await expect(one.locator("#paused")).to_be_hidden()
            await expect(one.get_by_role("button", name="Pause agents")).to_be_visible()
