"""The event stream of an open page: permitted updates, once, in order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx2
import pytest
import uvicorn
from sqlalchemy import delete, update

import app
from core.clock import now
from models import BoardAccess, Member, Presence, SignIn, User
from services import boards, presence, tags, tasks
from tests.support.world import cookie_secret
from web.auth.viewer import SESSION_COOKIE

TIMEOUT = 10  # maximum seconds to wait for an expected update
MAX_DELAY = 5  # seconds after which a lost permission must be effective


@pytest.fixture
async def url(isolated_settings) -> AsyncIterator[str]:
    config = uvicorn.Config(
        app.build_app(isolated_settings), port=0, log_config=None, lifespan="on"
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    [port] = [socket.getsockname()[1] for socket in server.servers[0].sockets]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await running


class PageStream:
    """An open page: the received update names and the number of the last event."""

    def __init__(self) -> None:
        self.names: asyncio.Queue[str] = asyncio.Queue()
        self.last = ""
        self.ended = asyncio.Event()

    async def read(self, response: httpx2.Response) -> None:
        try:
            async for line in response.aiter_lines():
                field, _, value = line.partition(": ")
                if field == "id":
                    self.last = value
                if field == "event":
                    self.names.put_nowait(value)
        finally:
            self.ended.set()

    async def wait_for(self, name: str) -> None:
        async with asyncio.timeout(TIMEOUT):
            while await self.names.get() != name:
                pass


@asynccontextmanager
async def open_page(
    url: str, user: User, query: str = "", **headers: str
) -> AsyncGenerator[PageStream, None]:
    page_stream = PageStream()
    cookies = {SESSION_COOKIE: cookie_secret(user)}
    async with (
        httpx2.AsyncClient(base_url=url, cookies=cookies, headers=headers, timeout=30) as client,
        client.stream("GET", f"/events{query}") as response,
    ):
        assert response.status_code == 200
        reading = asyncio.create_task(page_stream.read(response))
        await page_stream.wait_for("hello")
        yield page_stream
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def add_task(transaction, user, board, title: str = "News") -> None:
    async with transaction() as session:
        await tasks.create_task(session, user, board, tasks.TaskDraft(title=title))


async def test_page_gets_updates_of_readable_boards(
    url, isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    async with (
        open_page(url, world.bob) as bob,
        open_page(url, world.alice) as alice,
        open_page(url, world.charlie) as charlie,
    ):
        await add_task(isolated_transaction, world.alice, world.garden)
        await alice.wait_for("tasks")
        await add_task(isolated_transaction, world.alice, world.board)
        await bob.wait_for("tasks")
        await add_task(isolated_transaction, world.charlie, world.charlies_board)
        await charlie.wait_for("tasks")
        received = [bob.names.get_nowait() for _ in range(bob.names.qsize())]
        assert "tasks" not in received
        assert charlie.names.qsize() == 0


async def test_board_page_does_not_reload_tasks_for_other_boards(
    url, isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    async with open_page(url, world.alice, f"?board={world.board.id}") as page:
        await add_task(isolated_transaction, world.alice, world.garden)
        await page.wait_for("boards")
        assert "tasks" not in [page.names.get_nowait() for _ in range(page.names.qsize())]
        await add_task(isolated_transaction, world.alice, world.board)
        await page.wait_for("tasks")


async def test_board_page_gets_updates_common_to_all_boards(
    url, isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    async with open_page(url, world.rita, f"?board={world.board.id}") as page:
        async with isolated_transaction() as session:
            await tags.create_tag(session, world.alice_member, tags.TagDraft(name="Words"))
        await page.wait_for("tasks")


async def test_reconnected_page_gets_missed_updates_once(
    url, isolated_transaction, isolated_world
) -> None:
    """A task of the lead causes only one event, because nobody is notified of it."""
    world = isolated_world
    async with open_page(url, world.alice) as page:
        await add_task(isolated_transaction, world.lead, world.board)
        await page.wait_for("tasks")
        while not page.last:
            await asyncio.sleep(0.01)
        last = page.last
    await add_task(isolated_transaction, world.lead, world.board, "Missed")

    async with open_page(url, world.alice, **{"Last-Event-ID": last}) as page:
        await page.wait_for("tasks")
        assert int(page.last) >= int(last)
    async with open_page(url, world.alice, **{"Last-Event-ID": page.last}) as again:
        await add_task(isolated_transaction, world.lead, world.board, "New")
        await again.wait_for("tasks")
        assert int(again.last) == int(page.last) + 1


@pytest.mark.parametrize("loss", ["access", "membership", "session"])
async def test_lost_access_ends_updates_within_five_seconds(
    url, isolated_transaction, isolated_world, loss
) -> None:
    world = isolated_world
    row = {"access": BoardAccess, "membership": Member, "session": SignIn}[loss]
    condition = {
        "access": BoardAccess.organization_member_id == world.rita_member.id,
        "membership": Member.id == world.rita_member.id,
        "session": SignIn.user_id == world.rita.id,
    }[loss]
    async with open_page(url, world.rita) as page:
        await add_task(isolated_transaction, world.alice, world.board)
        await page.wait_for("tasks")
        async with isolated_transaction() as session:
            await session.execute(delete(row).where(condition))

        await asyncio.sleep(MAX_DELAY)
        while not page.names.empty():
            page.names.get_nowait()
        await add_task(isolated_transaction, world.alice, world.board)

        await asyncio.sleep(1)  # to show that nothing is sent
        assert page.names.empty()


async def test_page_stream_requires_sign_in(url) -> None:
    async with httpx2.AsyncClient(base_url=url) as client:
        assert (await client.get("/events")).status_code == 401


async def test_open_board_page_makes_its_user_present(
    url, isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    query = f"?board={world.board.id}"

    async def list_present_users() -> set[str]:
        async with isolated_transaction() as session:
            board = await boards.get_board(session, world.alice, world.board.id)
            return {one.user.display_name for one in await presence.list_viewers(session, board)}

    async with (
        open_page(url, world.dana, query),  # has no read access
        open_page(url, world.charlie, query),
        open_page(url, world.alice),
        open_page(url, world.alice, "?board=none"),
        open_page(url, world.bob, query),
        open_page(url, world.rita, query),
        asyncio.timeout(TIMEOUT),
    ):
        while len(await list_present_users()) < 2:
            await asyncio.sleep(0.02)
        assert await list_present_users() == {"Bob", "Rita"}


async def test_board_page_is_updated_when_viewers_come_and_go(
    url, isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    query = f"?board={world.board.id}"
    absent = now() - presence.ABSENT_AFTER - timedelta(seconds=1)
    async with (
        open_page(url, world.dana, query) as dana,  # has no read access
        open_page(url, world.charlie, query) as charlie,
        open_page(url, world.alice) as other_page,
        open_page(url, world.alice, query) as page,
    ):
        await page.wait_for("presence")  # the state when the page connects
        async with isolated_transaction() as session:
            await presence.record_viewer(session, world.bob, world.board.id)
        await page.wait_for("presence")
        async with isolated_transaction() as session:
            statement = update(Presence).where(Presence.user_id == world.bob.id)
            await session.execute(statement.values(seen_at=absent))
        await page.wait_for("presence")
        for other in (dana, charlie, other_page):
            assert other.names.empty()
