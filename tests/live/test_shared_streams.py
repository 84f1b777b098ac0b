"""The event stream that the tabs of a user share."""

import asyncio

import httpx2
import pytest

from services import boards, presence, tags
from tests.live.test_page_stream import TIMEOUT, add_task
from tests.support.page_stream import open_page, server_url
from tests.support.people_rows import cookie_secret
from web.auth.viewer import SESSION_COOKIE

__all__ = ["server_url"]


async def test_a_stream_of_several_boards_names_the_board_of_each_change(
    url, isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    query = f"?board={world.board.id}&board={world.garden.id}"
    async with open_page(url, world.alice, query) as page:
        for board in (world.board, world.garden):
            await add_task(isolated_transaction, world.alice, board)
            async with asyncio.timeout(TIMEOUT):
                while page.data.get("tasks") != str(board.id):
                    await asyncio.sleep(0.01)
            assert page.data["boards"] == ""
        async with isolated_transaction() as session:
            await tags.create_tag(session, world.alice_member, tags.TagCreate(name="Words"))
        await page.wait_for("tags")
        assert page.data["tasks"] == ""  # of all boards


async def test_a_viewer_is_present_on_the_boards_of_all_tabs(
    url, isolated_transaction, isolated_world
) -> None:
    world = isolated_world

    async def is_present(board) -> bool:
        async with isolated_transaction() as session:
            shown = await boards.get_board(session, world.alice, board.id)
            return bool(await presence.list_viewers(session, shown))

    query = f"?board={world.board.id}&board=&board={world.garden.id}"
    async with open_page(url, world.alice, query), asyncio.timeout(TIMEOUT):
        while not (await is_present(world.board) and await is_present(world.garden)):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("user", "organization", "status"), [("bob", "tern", 401), ("alice", "other", 409)]
)
async def test_pages_of_another_user_or_organization_get_no_stream(
    url, isolated_world, user, organization, status
) -> None:
    world = isolated_world
    ids = {"tern": world.tern.id, "other": world.charlies_board.organization_id}
    key = f"{getattr(world, user).id}.{ids[organization]}"
    cookies = {SESSION_COOKIE: cookie_secret(world.alice)}
    async with httpx2.AsyncClient(base_url=url, cookies=cookies, timeout=20) as client:
        assert (await client.get(f"/events?for={key}")).status_code == status
    async with open_page(url, world.alice, f"?for={world.alice.id}.{world.tern.id}"):
        pass
