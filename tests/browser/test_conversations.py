"""Conversations in a browser: the filter of a task's, and links to old messages of a board's."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import (
    PHONE,
    WIDE,
    in_sizes,
    list_axe_violations,
    list_overflowing,
)
from tests.support.tiers import repetition

MESSAGES = 60  # more than a page has


@pytest.fixture
async def first_message(site: LiveSite, board: dict[str, Any]) -> str:
    """Return the path of the first message of a long chat."""
    path = f"/boards/{board['id']}/memory"

    def write() -> str:
        [first, *_] = [
            site.owner.call("POST", path, content=f"Message {number}.", tags=["chat"])
            for number in range(MESSAGES)
        ]
        return f"/boards/{board['id']}/chat?note={first['id']}#note-{first['id']}"

    return await asyncio.to_thread(write)


async def expect_marked(page: Page, address: str) -> None:
    marked = page.locator(f"#{address.partition('#')[2]}")
    await expect(marked).to_be_in_viewport()
    await expect(marked).to_contain_text("Message 0.")
    assert await marked.evaluate("element => element.matches(':target')")
    background = await marked.evaluate("element => getComputedStyle(element).backgroundColor")
    assert background not in ("rgba(0, 0, 0, 0)", "transparent")


@repetition
@in_sizes(WIDE, PHONE)
async def test_a_link_to_an_old_message_shows_and_marks_it(
    site: LiveSite, board: dict[str, Any], first_message: str, size
) -> None:
    """See tests/web/test_note_pages.py; test_activity.py shows an entry by its link."""
    async with site.open_page(f"/boards/{board['id']}/chat", viewport=size) as page:
        await expect(page.get_by_text("Message 0.")).to_have_count(0)
        await page.goto(first_message)
        await expect_marked(page, first_message)
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        site.owner.call("POST", f"/boards/{board['id']}/memory", content="One more.", tags=["chat"])
        await expect(page.locator("nav.pager")).to_contain_text(f"of {MESSAGES + 1}")
        await expect_marked(page, first_message)
        assert await list_axe_violations(page) == []
        assert not await list_overflowing(page)
        await page.get_by_role("link", name="Later").click()
        await expect(page.get_by_text(f"Message {MESSAGES - 1}.")).to_be_visible()


@repetition
async def test_a_comment_keeps_the_filter(site: LiveSite, board: dict[str, Any]) -> None:
    """See test_a_new_comment_keeps_the_filter in tests/web."""
    task = site.create_task(board, "Paint the door")
    address = f"/boards/{board['id']}/tasks/{task['id']}"
    async with site.open_page(address) as page:
        conversation = page.locator("#conversation")
        await expect(conversation.locator(".tl__e--event")).to_have_count(1)
        await conversation.get_by_role("link", name="Comments").click()
        await expect(conversation.locator(".tl__e--event")).to_have_count(0)
        for number in range(2):
            await page.get_by_label("Comment", exact=True).fill(f"Comment {number}.")
            await page.get_by_role("button", name="Send").click()
            await expect(conversation).to_contain_text(f"Comment {number}.")
            shown = conversation.get_by_role("link", name="Comments")
            await expect(shown).to_have_attribute("aria-current", "true")
            await expect(conversation.locator(".tl__e--event")).to_have_count(0)
        everything = conversation.get_by_role("link", name="All")
        await everything.click()
        await expect(everything).to_have_attribute("aria-current", "true")
        await page.get_by_label("Comment", exact=True).fill("Comment 2.")
        await page.get_by_role("button", name="Send").click()
        await expect(conversation).to_contain_text("Comment 2.")
        await expect(conversation.locator(".tl__e--event")).to_have_count(1)
