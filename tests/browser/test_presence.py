"""Who else looks at a board is shown on it, for as long as they do."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, expect
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from models import Board, Organization
from tests.browser.home import Home
from tests.browser.pages import faults_of, new_context
from tests.world import a_member, a_sign_in, a_user, an_access, cookie_of
from web.auth import COOKIE

LIMIT = 40_000  # ms, after which the server has forgotten anybody who closed the page


@pytest.fixture
async def database(home: Home) -> AsyncIterator[AsyncEngine]:
    dsn = home.installation.database().dsn
    engine = create_async_engine(dsn.replace("postgresql:", "postgresql+asyncpg:", 1))
    yield engine
    await engine.dispose()


@pytest.fixture
def board(home: Home) -> dict[str, Any]:
    return home.board("Busy")


@pytest.fixture
async def bob(
    browser: Browser, home: Home, database: AsyncEngine, board: dict[str, Any]
) -> AsyncIterator[BrowserContext]:
    """The browser of somebody who reads the board."""
    async with AsyncSession(database, expire_on_commit=False) as session, session.begin():
        shared = await session.get_one(Board, board["id"])
        organization = await session.get_one(Organization, shared.organization_id)
        user = a_user("Bob Hall", organization)
        member = a_member(organization, user)
        session.add_all([user, member, a_sign_in(user)])
        await session.flush()
        session.add(an_access(member, shared))
    context = await new_context(browser, home.installation)
    url = home.installation.url
    await context.add_cookies([{"name": COOKIE, "value": cookie_of(user), "url": url}])
    yield context
    await context.close()


async def test_who_comes_is_shown_and_who_closed_the_page_is_gone(
    home: Home, bob: BrowserContext, board: dict[str, Any], database: AsyncEngine
) -> None:
    task = home.task(board, "Talk about it")
    there = f"/boards/{board['id']}"
    async with (
        home.open(there) as of_board,
        home.open(f"{there}/tasks/{task['id']}") as of_task,
    ):
        for page in (of_board, of_task):
            await expect(page.locator("#live[data-state=live]")).to_be_visible()
            await expect(page.locator("#others")).to_be_hidden()
        bobs = await bob.new_page()
        await bobs.goto(there)
        await expect(bobs.get_by_role("img", name="Here now: Olga Ruiz")).to_be_visible()
        for page in (of_board, of_task):
            await expect(page.get_by_role("img", name="Here now: Bob Hall")).to_have_text("BH")
            assert await faults_of(page) == []
        async with home.open(there, java_script_enabled=False) as plain:
            await expect(plain.get_by_role("img", name="Here now: Bob Hall")).to_be_visible()

        await bobs.close()
        async with database.begin() as connection:  # as if that had been a while ago
            await connection.execute(text("update presences set seen_at = seen_at - interval '1h'"))
        for page in (of_board, of_task):
            await expect(page.locator("#others")).to_be_hidden(timeout=LIMIT)
