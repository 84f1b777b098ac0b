"""Stopping all agents, and releasing an agent that is held, in a browser."""

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

FIRST_ANSWERS = 15  # of each agent, before the page is opened
MAX_ANSWERS = 100  # of two agents; they are held long before


@in_sizes(WIDE, PHONE)
async def test_stopping_all_agents_needs_a_confirmation_and_updates_all_pages(
    site: LiveSite, size
) -> None:
    board = site.create_board("Quay")
    site.create_agent(board).call("POST", "/agent/heartbeat")
    async with (
        site.open_page(f"/boards/{board['id']}") as other,
        site.open_page("/agents", viewport=size) as page,
    ):
        await expect(other.locator("#live[data-state=live]")).to_be_visible()
        stop = page.get_by_role("button", name="Stop all agents")
        await stop.locator("visible=true").first.click()
        dialog = page.locator("#stop-agents")
        await expect(dialog).to_be_visible()
        assert await list_axe_violations(page) == []
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#stopped")).to_be_hidden()

        await stop.locator("visible=true").first.click()
        await dialog.get_by_label("Reason").fill("The importer deletes the wrong rows.")
        await dialog.get_by_role("button", name="Stop all agents").click()
        for one in (page, other):
            await expect(one.locator("#stopped")).to_contain_text("All agents are stopped by you")
            await expect(one.locator("#stopped")).to_contain_text("deletes the wrong rows")
            await expect(one.locator("#rail form[action='/stops']")).to_have_count(0)
        await expect(page.locator("dialog[open]")).to_have_count(0)
        for theme in select_options("stopped agents", THEMES):
            await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
            assert await list_axe_violations(page, with_layout=True) == []
        assert not await list_overflowing(page)

        await page.get_by_role("button", name="Resume agents").click()
        for one in (page, other):
            await expect(one.locator("#stopped")).to_be_hidden()
            await expect(one.locator("#rail form[action='/stops']")).to_have_count(1)


@repetition
async def test_two_agents_in_a_loop_are_held_and_released(site: LiveSite) -> None:
    """See tests/services/test_circuit_breakers.py and tests/web/test_agent_stop.py."""
    board = site.create_board("Loop", max_agents=3)
    one, two = (site.create_agent(board, name) for name in ("Ping", "Pong"))
    path = f"/boards/{board['id']}"
    task = site.create_task(board, "Count")
    comments = f"/agent{path}/tasks/{task['id']}/comments"
    for _ in range(FIRST_ANSWERS):
        one.call("POST", comments, message="@pong your turn")
        two.call("POST", comments, message="@ping your turn")
    async with site.open_page(path) as page:
        await expect(page.locator("#live[data-state=live]")).to_be_visible()
        for _ in range(MAX_ANSWERS):
            one.call("POST", comments, message="@pong your turn")
            if not two.call("GET", "/agent/messages")["items"]:
                break
            two.call("POST", comments, message="@ping your turn")
            if not one.call("GET", "/agent/messages")["items"]:
                break
        else:
            raise AssertionError("The loop did not end.")
        notice = page.locator("#paused")
        await expect(notice).to_contain_text("answer each other")
        for theme in select_options("agents in a loop", THEMES):
            await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
            assert await list_axe_violations(page) == []
        await page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
        assert not await list_overflowing(page)
        await notice.get_by_role("button", name="Let it work again").click()
        await expect(page.locator("[id^=hold-]")).to_have_count(0)
        assert await list_axe_violations(page) == []
