"""Unread marks appear on open pages, and disappear when the items are read."""

import asyncio

from playwright.async_api import Page, expect

from tests.support.installation import ApiClient
from tests.support.live_site import LiveSite
from tests.support.page_checks import list_axe_violations
from tests.support.tiers import repetition


async def say(agent: ApiClient, board: dict, task: dict, words: str) -> None:
    path = f"/agent/boards/{board['id']}/tasks/{task['id']}/comments"
    await asyncio.to_thread(agent.call, "POST", path, message=words)


async def is_live(page: Page) -> None:
    await expect(page.locator(".live[data-state=live]").first).to_be_visible()


@repetition
async def test_a_comment_highlights_its_board_until_it_is_opened(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_unread.py and tests/web/test_stale_parts.py."""
    board, other = site.create_board("News"), site.create_board("Elsewhere")
    task = site.create_task(board, "Talk about it")
    agent = site.create_agent(board)
    in_rail = f"#rail-board-{board['id']}"
    await say(agent, board, task, "I begin.")  # the agent is working before the board is opened
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.goto(f"/boards/{other['id']}")
        await is_live(page)
        await expect(page.locator(f"{in_rail} .unread")).to_be_hidden()
        await say(agent, board, task, "It is half done.")
        await expect(page.locator(f"{in_rail}[data-unread] .unread")).to_be_visible()
        assert await list_axe_violations(page, with_layout=True) == []
        for one in (board, other):
            await page.goto(f"/boards/{one['id']}")
            await expect(page.locator(f"{in_rail} .unread")).to_be_hidden()


async def test_a_comment_highlights_its_card_until_it_is_read(site: LiveSite) -> None:
    board = site.create_board("News")
    task = site.create_task(board, "Talk about it")
    agent = site.create_agent(board)
    async with site.open_page(f"/boards/{board['id']}") as page:
        await is_live(page)
        card = page.locator(f"#task-{task['id']}")
        await expect(card.locator(".unread")).to_be_hidden()
        await say(agent, board, task, "It is half done.")
        await expect(card.locator(".unread")).to_be_visible()
        await expect(page.locator(f"#rail-board-{board['id']} .unread")).to_be_hidden()
        assert await list_axe_violations(page) == []

        await card.get_by_role("link").first.click()
        await expect(page.locator("#drawer")).to_contain_text("It is half done.")
        await expect(card.locator(".unread")).to_be_hidden()
        await say(agent, board, task, "It is done.")
        await expect(page.locator("#drawer")).to_contain_text("It is done.")
        await expect(card).to_contain_text("2 comments")
        await expect(card.locator(".unread")).to_be_hidden()


@repetition
async def test_the_line_above_new_comments_stays_while_more_arrive(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_unread.py."""
    board = site.create_board("Line")
    task = site.create_task(board, "Talk about it")
    agent = site.create_agent(board)
    task_path = f"/boards/{board['id']}/tasks/{task['id']}"
    await say(agent, board, task, "One.")
    async with site.open_page(task_path) as page:
        await expect(page.get_by_text("One.")).to_be_visible()
    await say(agent, board, task, "Two.")
    async with site.open_page(task_path) as page:
        line = page.get_by_text("New since your last visit")
        await expect(line).to_be_visible()
        await is_live(page)
        await say(agent, board, task, "Three.")
        await expect(page.get_by_text("Three.")).to_be_visible()
        await expect(line).to_be_visible()
        items = await page.locator("#conversation li").all_inner_texts()
        place = items.index("New since your last visit")
        assert "One." in items[place - 1]
        assert "Two." in items[place + 1]
        assert await list_axe_violations(page) == []
