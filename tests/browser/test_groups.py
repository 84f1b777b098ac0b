"""Board groups in a browser."""

import asyncio

from playwright.async_api import expect

from tests.support.full_site import THEMES
from tests.support.live_site import LiveSite
from tests.support.page_checks import (
    PHONE,
    WIDE,
    choose,
    in_sizes,
    list_axe_violations,
    list_overflowing,
)
from tests.support.tiers import repetition, select_options


@repetition
@in_sizes(WIDE, PHONE)
async def test_a_group_is_created_used_and_deleted(site: LiveSite, size) -> None:
    """The steps are stated in tests/web/test_groups.py.

    Also in tests/web/test_group_conversations.py.
    """
    name = f"Harbour {size['width']}"
    boards = [site.create_board(f"{name} {number}") for number in range(6)]
    agent = site.create_agent(boards[0])
    async with site.open_page("/groups", viewport=size) as page:
        await page.get_by_role("link", name="New group").first.click()
        await page.get_by_label("Name", exact=True).fill(name)
        await choose(page.locator("#boards"), f"{name} 0")
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Create group").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(name)
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        await asyncio.to_thread(site.create_task, boards[0], "Load the ship")
        await expect(page.locator("#group-boards")).to_contain_text("Load the ship")
        await expect(page.get_by_label("Number")).to_be_hidden()
        await page.get_by_label("Other interval").check()
        await page.get_by_label("Number").fill("5")
        await page.get_by_role("button", name="Apply").click()
        await expect(page.get_by_role("status").get_by_text("1 agent")).to_be_visible()
        await expect(page.locator("#group-agents")).to_contain_text("5 minutes")

        await page.get_by_role("link", name="Chat", exact=True).click()
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        box = page.get_by_label("Message")
        await box.fill("Where is the ship?")
        await page.get_by_label("Notify every agent").check()
        await box.press("Enter")
        await expect(page.get_by_role("log")).to_contain_text("Where is the ship?")
        await expect(page.get_by_label("Notify every agent")).not_to_be_checked()
        path = f"/boards/{boards[0]['id']}/group-memory"
        await asyncio.to_thread(agent.call, "POST", path, content="In port", tags=["chat"])
        await expect(page.get_by_role("log")).to_contain_text("In port")
        for theme in select_options("a group", THEMES):
            await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
            assert await list_axe_violations(page) == []
        assert not await list_overflowing(page)

        await page.get_by_role("link", name="Edit").click()
        await page.locator("summary", has_text="Delete group").click()
        await page.get_by_role("button", name=f"Delete {name}").click()
        await expect(page.get_by_role("link", name=name, exact=True)).to_have_count(0)
        await expect(page).to_have_url("/groups")
