"""What an open page hears: what it may, once, in order, and nothing more once it may not."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx2
import pytest
import uvicorn
from sqlalchemy import delete, update

import app
from kit.clock import now
from models import BoardAccess, Member, Presence, SignIn, User
from services import boards, presence, tags, tasks
from tests.world import cookie_of
from web.auth import COOKIE

PATIENCE = 10  # seconds until something that must be heard is heard
PROMISE = 5  # seconds after which somebody who lost access hears nothing


@pytest.fixture
async def url(own_settings) -> AsyncIterator[str]:
    config = uvicorn.Config(app.build(own_settings), port=0, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    [port] = [socket.getsockname()[1] for socket in server.servers[0].sockets]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await running


class Listener:
    """An open page: the names it has heard, and the number of the last event."""

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

    async def hears(self, name: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while await self.names.get() != name:
                pass


@asynccontextmanager
async def listening(
    url: str, user: User, query: str = "", **headers: str
) -> AsyncGenerator[Listener, None]:
    listener = Listener()
    cookies = {COOKIE: cookie_of(user)}
    async with (
        httpx2.AsyncClient(base_url=url, cookies=cookies, headers=headers, timeout=30) as client,
        client.stream("GET", f"/events{query}") as response,
    ):
        assert response.status_code == 200
        reading = asyncio.create_task(listener.read(response))
        await listener.hears("hello")
        yield listener
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def add_task(transaction, user, board, title: str = "News") -> None:
    async with transaction() as session:
        await tasks.create(session, user, board, tasks.TaskDraft(title=title))


async def test_a_page_hears_of_the_boards_that_its_person_reads(
    url, real_transaction, real_world
) -> None:
    world = real_world
    async with (
        listening(url, world.bob) as bob,
        listening(url, world.alice) as alice,
        listening(url, world.charlie) as charlie,
    ):
        await add_task(real_transaction, world.alice, world.garden)
        await alice.hears("tasks")
        await add_task(real_transaction, world.alice, world.board)
        await bob.hears("tasks")
        await add_task(real_transaction, world.charlie, world.charlies_board)
        await charlie.hears("tasks")
        heard = [bob.names.get_nowait() for _ in range(bob.names.qsize())]
        assert "tasks" not in heard
        assert charlie.names.qsize() == 0


async def test_a_page_of_one_board_is_not_told_to_fetch_its_tasks_for_another(
    url, real_transaction, real_world
) -> None:
    world = real_world
    async with listening(url, world.alice, f"?board={world.board.id}") as page:
        await add_task(real_transaction, world.alice, world.garden)
        await page.hears("boards")
        assert "tasks" not in [page.names.get_nowait() for _ in range(page.names.qsize())]
        await add_task(real_transaction, world.alice, world.board)
        await page.hears("tasks")


async def test_a_page_of_one_board_hears_of_what_belongs_to_all_boards(
    url, real_transaction, real_world
) -> None:
    world = real_world
    async with listening(url, world.rita, f"?board={world.board.id}") as page:
        async with real_transaction() as session:
            await tags.create(session, world.alices, tags.TagDraft(name="Words"))
        await page.hears("tasks")


async def test_a_page_that_comes_back_hears_what_it_missed_and_nothing_twice(
    url, real_transaction, real_world
) -> None:
    """A lead's task is one event: nobody is told of what a lead makes."""
    world = real_world
    async with listening(url, world.alice) as page:
        await add_task(real_transaction, world.lead, world.board)
        await page.hears("tasks")
        while not page.last:
            await asyncio.sleep(0.01)
        last = page.last
    await add_task(real_transaction, world.lead, world.board, "Missed")

    async with listening(url, world.alice, **{"Last-Event-ID": last}) as page:
        await page.hears("tasks")
        assert int(page.last) >= int(last)
    async with listening(url, world.alice, **{"Last-Event-ID": page.last}) as again:
        await add_task(real_transaction, world.lead, world.board, "New")
        await again.hears("tasks")
        assert int(again.last) == int(page.last) + 1


@pytest.mark.parametrize("loss", ["access", "membership", "session"])
async def test_who_loses_access_hears_nothing_after_five_seconds(
    url, real_transaction, real_world, loss
) -> None:
    world = real_world
    row = {"access": BoardAccess, "membership": Member, "session": SignIn}[loss]
    which = {
        "access": BoardAccess.organization_member_id == world.ritas.id,
        "membership": Member.id == world.ritas.id,
        "session": SignIn.user_id == world.rita.id,
    }[loss]
    async with listening(url, world.rita) as page:
        await add_task(real_transaction, world.alice, world.board)
        await page.hears("tasks")
        async with real_transaction() as session:
            await session.execute(delete(row).where(which))

        await asyncio.sleep(PROMISE)
        while not page.names.empty():
            page.names.get_nowait()
        await add_task(real_transaction, world.alice, world.board)

        await asyncio.sleep(1)  # only to show that nothing comes
        assert page.names.empty()


async def test_who_is_not_signed_in_hears_nothing(url) -> None:
    async with httpx2.AsyncClient(base_url=url) as nobody:
        assert (await nobody.get("/events")).status_code == 401


async def test_who_has_a_page_of_a_board_open_is_there(url, real_transaction, real_world) -> None:
    world = real_world
    of_launch = f"?board={world.board.id}"

    async def there() -> set[str]:
        async with real_transaction() as session:
            board = await boards.get(session, world.alice, world.board.id)
            return {one.user.called for one in await presence.here(session, board)}

    async with (
        listening(url, world.dana, of_launch),  # who may not read it
        listening(url, world.charlie, of_launch),
        listening(url, world.alice),
        listening(url, world.alice, "?board=none"),
        listening(url, world.bob, of_launch),
        listening(url, world.rita, of_launch),
        asyncio.timeout(PATIENCE),
    ):
        while len(await there()) < 2:
            await asyncio.sleep(0.02)
        assert await there() == {"Bob", "Rita"}


async def test_a_page_of_a_board_hears_when_somebody_comes_and_when_they_are_gone(
    url, real_transaction, real_world
) -> None:
    world = real_world
    of_launch = f"?board={world.board.id}"
    silent = now() - presence.GONE_AFTER - timedelta(seconds=1)
    async with (
        listening(url, world.dana, of_launch) as dana,  # who may not read it
        listening(url, world.charlie, of_launch) as charlie,
        listening(url, world.alice) as elsewhere,
        listening(url, world.alice, of_launch) as page,
    ):
        await page.hears("presence")  # how it is as the page begins to listen
        async with real_transaction() as session:
            await presence.note(session, world.bob, world.board.id)
        await page.hears("presence")
        async with real_transaction() as session:
            gone = update(Presence).where(Presence.user_id == world.bob.id)
            await session.execute(gone.values(seen_at=silent))
        await page.hears("presence")
        for other in (dana, charlie, elsewhere):
            assert other.names.empty()
