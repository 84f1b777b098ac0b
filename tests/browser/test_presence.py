"""The pages of a board show its other viewers while their pages are open."""

from typing import Any

from playwright.async_api import BrowserContext, expect
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.live_site import LiveSite
from tests.support.page_checks import list_axe_violations
from tests.support.tiers import repetition


@repetition
async def test_viewers_appear_and_disappear_with_their_pages(
    site: LiveSite, bob: BrowserContext, board: dict[str, Any], database: AsyncEngine
) -> None:
    """The steps are stated in tests/live/test_page_stream.py.

    Also in tests/web/test_board_viewers.py.
    """
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
        await expect(bobs.get_by_role("img", name="Viewing now: Olga Ruiz")).to_be_visible()
        for page in (of_board, of_task):
            await expect(page.get_by_role("img", name="Viewing now: Bob Hall")).to_have_text("BH")
            assert await list_axe_violations(page) == []
        async with site.open_page(board_path, java_script_enabled=False) as plain:
            await expect(plain.get_by_role("img", name="Viewing now: Bob Hall")).to_be_visible()

        await bobs.close()
        async with database.begin() as connection:  # move the record into the past
            await connection.execute(text("update presences set seen_at = seen_at - interval '1h'"))
        for page in (of_board, of_task):
            await expect(page.locator("#others")).to_be_hidden()
