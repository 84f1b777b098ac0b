"""The dashboard updates itself, and keeps in its place what the reader has opened."""

import asyncio
import re

from playwright.async_api import Page, expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import choose
from tests.support.tiers import repetition

WORK = "#dashboard-work"


async def read_top(page: Page, selector: str) -> float:
    """Return where an element begins, in pixels from the top of the window."""
    box = await page.locator(selector).bounding_box()
    assert box
    return box["y"]


async def test_the_dashboard_changes_without_moving(site: LiveSite) -> None:
    board = site.create_board("Harbour works")
    agent = site.create_agent(board, "Juniper")
    titles = ("Paint it", "Sail it", "Moor it")
    first, second, third = [site.create_task(board, title) for title in titles]
    site.request_approval(agent, board, first, "First")
    async with site.open_page(f"/dashboard?board={board['id']}") as page:
        await expect(page.locator(".live[data-state=live]").first).to_be_visible()
        done = page.locator("a.tile").filter(has_text="Tasks done").locator(".tile__v")
        table = page.locator("#throughput-table")
        await expect(done).to_have_text("0")
        await table.locator("summary").click()
        await page.locator("#dashboard-activity").scroll_into_view_if_needed()
        before = await read_top(page, "#dashboard-activity")

        site.update_task(board, second, status="done")
        await expect(done).to_have_text("1")
        await expect(table.locator("td.num").nth(-2)).to_have_text("1")
        await expect(page.locator("#dashboard-throughput rect.s1")).to_have_count(1)
        assert await table.get_attribute("open") is not None
        news = page.locator("#dashboard-news .newpill")
        await expect(news).to_have_text(re.compile(r"\d new"))
        assert abs(await read_top(page, "#dashboard-activity") - before) < 1

        approvals = page.locator("#dashboard-approvals")
        await asyncio.to_thread(site.request_approval, agent, board, third, "Second")
        await expect(approvals.locator(".lamp")).to_have_attribute("data-n", "2")
        await expect(approvals.locator("li")).to_have_count(2)
        await news.click()
        await expect(page.locator("#dashboard-activity")).to_contain_text("Sail it")
        await expect(news).to_have_count(0)


@repetition
async def test_the_dashboard_is_used_with_keys_and_links(site: LiveSite) -> None:
    """See tests/web/test_dashboard.py; test_assignees.py uses such keys."""
    board = site.create_board("Keys of the harbour")
    async with site.open_page("/boards") as page:
        await page.locator("body").press("g")
        await page.locator("body").press("d")
        await expect(page).to_have_url(re.compile("/dashboard$"))
        await page.get_by_role("link", name="1m", exact=True).click()
        await page.locator(f"{WORK} .seg").get_by_role("link", name="Time to done").click()
        await expect(page).to_have_url(re.compile(r"range=1m&chart=time#dashboard-work$"))
        await choose(page.locator("#board-menu-no-phone"), board["name"])
        await expect(page).to_have_url(re.compile(rf"range=1m&chart=time&board={board['id']}$"))
