"""Notifications in a browser: the count and the list are live, and opening one reads it."""

import asyncio
import re

import pytest
from playwright.async_api import Page, expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import (
    PHONE,
    WIDE,
    list_axe_violations,
    list_overflowing,
)
from tests.support.tiers import repetition


async def read_everything(page: Page) -> None:
    """Mark the notifications of other tests as read, also those that arrive meanwhile."""
    everything = page.get_by_role("button", name="Mark all as read")
    async with asyncio.timeout(60):
        while await page.locator("#notification-count").inner_text():
            await everything.click()
            await expect(everything).to_have_count(0)


def request_approval(site: LiveSite, board: dict[str, str]) -> None:
    agent = site.create_agent(board, "Avocet")
    agent.call(
        "POST",
        f"/boards/{board['id']}/approvals",
        action_type="deploy",
        confidence=80,
        lead_reasoning="It is ready.",
        payload={"reason": "It is ready."},
    )


@repetition
async def test_an_approval_is_listed_live_and_read_when_it_is_opened(site: LiveSite) -> None:
    """See tests/web/test_notifications.py and tests/live/test_notification_stream.py."""
    board = site.create_board("Godwit")
    async with site.open_page("/notifications") as page:
        await read_everything(page)
        count = page.locator("#notification-count")
        await expect(count).to_have_text("")
        request_approval(site, board)
        line = page.locator("#notifications li", has_text="Avocet").first
        await expect(line).to_contain_text("Avocet requests approval: Deploy?")
        await expect(count).to_have_text("")  # the number of the inbox has it
        await page.keyboard.press("g")
        await page.keyboard.press("i")
        await expect(page).to_have_url(re.compile("/notifications$"))
        await line.get_by_role("link").click()
        await expect(page).to_have_url(re.compile("/approvals/"))
        await page.goto("/notifications")
        await line.get_by_role("button", name="Mark as unread").click()
        await line.get_by_role("button", name="Mark as read").click()
        await expect(line.get_by_role("button", name="Mark as unread")).to_be_visible()


@repetition
@pytest.mark.parametrize("size", [WIDE, PHONE])
async def test_the_pages_are_accessible_in_both_themes(
    site: LiveSite, size: dict[str, int]
) -> None:
    board = site.create_board("Whimbrel")
    request_approval(site, board)
    for address in ("/notifications", f"/settings/notifications?board={board['id']}"):
        async with site.open_page(address, viewport=size) as page:
            for theme in ("light", "dark"):
                await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
                assert await list_axe_violations(page, with_layout=True) == []
            assert not await list_overflowing(page)
