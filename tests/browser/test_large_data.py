"""Large boards, conversations and texts, and unusual scripts, in a browser of each size."""

import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import Page, expect
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from core.clock import now
from core.fields import MAX_TEXT_LENGTH
from models import Comment, new_id
from tests.support.board_rows import add_tasks
from tests.support.live_site import LiveSite
from tests.support.page_checks import (
    PHONE,
    WIDE,
    in_sizes,
    list_axe_violations,
    list_overflowing,
)
from tests.support.site_objects import ARABIC, EMOJI, LONG_WORD, UNUSUAL_TEXT
from tests.support.tiers import repetition

CARDS, COMMENTS = 500, 1_000
RULES = ("aria-required-children", "aria-valid-attr-value", "duplicate-id-aria", "list", "listitem")


@pytest.fixture
async def session(database: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(database, expire_on_commit=False) as session:
        yield session


async def add_comments(session: AsyncSession, task: dict[str, Any], count: int) -> list[Comment]:
    """Add numbered comments of a deleted user to a task."""
    start, place = now() - timedelta(hours=1), {"board_id": UUID(task["board_id"])}
    made = [
        Comment(
            id=new_id(),
            task_id=UUID(task["id"]),
            message=f"Comment {number}.",
            created_at=start + timedelta(seconds=number),
            **place,
        )
        for number in range(count)
    ]
    async with session.begin():
        session.add_all(made)
    return made


def conversation(page: Page) -> Any:
    return page.locator("#conversation")


@repetition
@in_sizes(WIDE, PHONE)
async def test_a_column_shows_five_hundred_cards(
    site: LiveSite, database: AsyncEngine, board, size: Any
) -> None:
    """Long columns are stated in tests/browser/test_board_columns.py."""
    tasks = await add_tasks(database, board, [f"Card {number}" for number in range(CARDS)])
    async with site.open_page(f"/boards/{board['id']}?limit={CARDS}", viewport=size) as page:
        cards = page.locator("#column-inbox .card")
        await expect(cards).to_have_count(CARDS)
        assert not await list_overflowing(page)
        assert await list_axe_violations(page, *RULES) == []
        await expect(page.locator("#column-inbox .count").first).to_have_text(str(CARDS))

        site.update_task(board, tasks[CARDS // 2], title="Another title")
        card = page.locator(f"#task-{tasks[CARDS // 2]['id']}")
        await expect(card).to_contain_text("Another title")
        await expect(cards).to_have_count(CARDS)
        await card.get_by_role("link").first.click()
        await expect(page.locator("#drawer")).to_contain_text("Another title")


@repetition
@in_sizes(WIDE, PHONE)
async def test_every_one_of_a_thousand_comments_can_be_reached(
    site: LiveSite, session, board, size: Any
) -> None:
    """The steps are stated in tests/web/test_conversation_pages.py."""
    task = site.create_task(board, "Talk about it")
    comments = await add_comments(session, task, COMMENTS)
    path = f"/boards/{board['id']}/tasks/{task['id']}"
    async with site.open_page(f"{path}?show=comments", viewport=size) as page:
        entries, earlier = (
            page.locator("#conversation .tl__e"),
            page.get_by_role("link", name="Earlier", exact=True),
        )
        await expect(entries).to_have_count(30)
        await page.get_by_role("link", name="Show earlier").click()
        for first in range(COMMENTS - 200, -1, -200):
            await expect(entries.first).to_contain_text(f"Comment {first}.")
            await expect(entries).to_have_count(200)
            await (earlier.click() if first else expect(earlier).to_have_count(0))
        assert not await list_overflowing(page)
        assert await list_axe_violations(page, *RULES) == []

        site.update_task(board, task, title="Talk about everything")  # reloads the whole task
        await expect(page.locator("h1")).to_have_text("Talk about everything")
        await expect(entries.first).to_contain_text("Comment 0.")
        await page.get_by_role("link", name="Later").click()
        await expect(entries.first).to_contain_text("Comment 200.")

        middle = comments[500].id
        await page.goto(f"{path}?comment={middle}#c-{middle}")
        await expect(page.locator(f"#c-{middle}")).to_be_in_viewport()
        await page.locator("#comment").fill("The last one.")
        await page.get_by_role("button", name="Send").click()
        await expect(entries.last).to_contain_text("The last one.")
        assert not await list_overflowing(page)


@repetition
@in_sizes(WIDE, PHONE)
async def test_three_of_the_longest_texts_fit_on_a_page(site: LiveSite, board, size: Any) -> None:
    """tests/browser/pages/test_every_page.py has a long word on each page."""
    prose, word = f"{LONG_WORD} and **more**\n\n", secrets.token_hex(MAX_TEXT_LENGTH // 2)
    whole = (prose * (MAX_TEXT_LENGTH // len(prose) + 1))[:MAX_TEXT_LENGTH]
    task = site.create_task(board, "Read it", description=whole)
    path = f"/boards/{board['id']}/tasks/{task['id']}"
    for message in (word, whole):
        site.owner.call("POST", f"{path}/comments", message=message)
    async with site.open_page(path, viewport=size) as page:
        await expect(conversation(page).locator(".prose").first).to_contain_text(word)
        assert not await list_overflowing(page)
        composer = page.locator("#comment")
        await composer.fill(f"{word}0")
        assert await composer.input_value() == word
        await page.get_by_role("button", name="Send").click()
        await expect(conversation(page).locator(".prose")).to_have_count(3)
        await expect(conversation(page).locator(".prose").last).to_have_text(word)
        await expect(composer).to_have_value("")
        assert not await list_overflowing(page)


@in_sizes(WIDE, PHONE)
async def test_texts_from_right_to_left_and_emoji_are_shown(
    site: LiveSite, board, size: Any
) -> None:
    title = f"{ARABIC} {EMOJI} 12"
    task = site.create_task(board, title, description=UNUSUAL_TEXT)
    path = f"/boards/{board['id']}/tasks/{task['id']}"
    site.owner.call("POST", f"{path}/comments", message=UNUSUAL_TEXT)
    async with site.open_page(f"/boards/{board['id']}", viewport=size) as page:
        link = page.locator(f"#task-{task['id']} h3")
        await expect(link).to_have_text(title)
        assert not await list_overflowing(page)
        await page.goto(path)
        heading = page.locator("h1")
        await expect(heading).to_have_text(title)
        for part in (heading, conversation(page).locator(".prose").first):
            assert await part.evaluate("item => getComputedStyle(item).direction") == "rtl"
        await expect(conversation(page)).to_contain_text(EMOJI)
        assert (
            await page.locator("html").evaluate("page => getComputedStyle(page).direction") == "ltr"
        )
        assert not await list_overflowing(page)
        assert await list_axe_violations(page) == []
