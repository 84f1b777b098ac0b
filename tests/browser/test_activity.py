"""The activity of all boards in a browser."""

import asyncio
import re

from playwright.async_api import expect

from tests.support.live_site import LiveSite
from tests.support.tiers import repetition


@repetition
async def test_the_activity_is_filtered_and_an_entry_is_linked(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_activity_page.py and tests/web/test_stale_parts.py."""
    board = site.create_board("Lighthouse")
    agent = site.create_agent(board, "Keeper")
    task = site.create_task(board, "Trim the wick")
    path = f"/agent/boards/{board['id']}/tasks/{task['id']}/comments"
    agent.call("POST", path, message="It **burns**.")
    async with site.open_page(f"/activity?board={board['id']}") as page:
        feed = page.locator("#feed")
        await expect(feed.locator("strong")).to_have_text("burns")
        kinds = page.get_by_role("navigation", name="Kind")
        await kinds.get_by_role("link", name="Comments").click()
        await expect(feed.locator(".feed__i")).to_have_count(1)
        entry = await feed.locator(".feed__i").get_attribute("id")
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        await asyncio.to_thread(agent.call, "POST", path, message="Still.")
        await page.get_by_text("1 new", exact=True).click()
        await expect(feed.locator(".feed__i")).to_have_count(2)

        await page.goto(f"/activity?board={board['id']}#{entry}")
        await expect(page.locator(f"#{entry}:target")).to_be_in_viewport()
        await page.locator(f"#{entry}").get_by_role("link", name="Trim the wick").click()
        await expect(page).to_have_url(re.compile(f"/tasks/{task['id']}"))
