"""The pages of a board show its other viewers while their pages are open."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, expect
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from models import Board, Organization
from tests.support.live_site import LiveSite
from tests.support.page_checks import list_axe_violations, new_context
from tests.support.world import (
    cookie_secret,
    make_board_access,
    make_member,
    make_sign_in,
    make_user,
)
from web.auth.viewer import SESSION_COOKIE

LIMIT = 40_000  # ms until the server forgets a viewer who closed the page


@pytest.fixture
async def database(site: LiveSite) -> AsyncIterator[AsyncEngine]:
    dsn = site.installation.database().dsn
    engine = create_async_engine(dsn.replace("postgresql:", "postgresql+asyncpg:", 1))
    yield engine
    await engine.dispose()


@pytest.fixture
def board(site: LiveSite) -> dict[str, Any]:
    return site.create_board("Busy")


@pytest.fixture
async def bob(
    browser: Browser, site: LiveSite, database: AsyncEngine, board: dict[str, Any]
) -> AsyncIterator[BrowserContext]:
    """Open the browser of a member who can read the board."""
    async with AsyncSession(database, expire_on_commit=False) as session, session.begin():
        shared = await session.get_one(Board, board["id"])
        organization = await session.get_one(Organization, shared.organization_id)
        user = make_user("Bob Hall", organization)
        member = make_member(organization, user)
        session.add_all([user, member, make_sign_in(user)])
        await session.flush()
        session.add(make_board_access(member, shared))
    context = await new_context(browser, site.installation)
    url = site.installation.url
    await context.add_cookies([{"name": SESSION_COOKIE, "value": cookie_secret(user), "url": url}])
    yield context
    await context.close()


async def test_viewers_appear_and_disappear_with_their_pages(
    site: LiveSite, bob: BrowserContext, board: dict[str, Any], database: AsyncEngine
) -> None:
    task = site.create_task(board, "Talk about it")
    board_path = f"/boards/{board['id']}"
    async with (
        site.open_page(board_path) as of_board,
        site.open_page(f"{board_path}/tasks/{task['id']}") as of_task,
    ):
        for page in (of_board, of_task):
            await expect(page.locator("#live[data-state=live]")).to_be_visible()
            await expect(page.locator("#others")).to_be_hidden()
        bobs = await bob.new_page()
        await bobs.goto(board_path)
        await expect(bobs.get_by_role("img", name="Here now: Olga Ruiz")).to_be_visible()
        for page in (of_board, of_task):
            await expect(page.get_by_role("img", name="Here now: Bob Hall")).to_have_text("BH")
            assert await list_axe_violations(page) == []
        async with site.open_page(board_path, java_script_enabled=False) as plain:
            await expect(plain.get_by_role("img", name="Here now: Bob Hall")).to_be_visible()

        await bobs.close()
        async with database.begin() as connection:  # move the record into the past
            await connection.execute(text("update presences set seen_at = seen_at - interval '1h'"))
        for page in (of_board, of_task):
            await expect(page.locator("#others")).to_be_hidden(timeout=LIMIT)
