"""The event stream of an open page: permitted updates, once, in order."""

import asyncio

import httpx2
from sqlalchemy import delete
from starlette.types import ASGIApp, Message

from models import Agent, BoardAccess, EventRetention, EventType, User
from services import agents, boards, events, organizations, presence, tags, tasks
from tests.support.api_fixtures import committing_api_app
from tests.support.page_stream import open_page, server_url
from tests.support.people_rows import cookie_secret
from tests.support.statement_counter import count_all_statements
from tests.support.stream_client import StreamClient
from web.auth.viewer import SESSION_COOKIE

TIMEOUT = 10  # maximum seconds to wait for an expected update
FIRST_CHECK_DELAY = 0.3  # seconds until rights are compared for the first time

__all__ = ["committing_api_app", "server_url"]


async def add_task(transaction, user, board, title: str = "News") -> None:
    async with transaction() as session:
        await tasks.create_task(session, user, board, tasks.TaskCreate(title=title))


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


async def test_board_page_reloads_neither_tasks_nor_agents_for_other_boards(
    url, isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    async with open_page(url, world.alice, f"?board={world.board.id}") as page:
        await add_task(isolated_transaction, world.alice, world.garden)
        await page.wait_for("boards")
        received = {page.names.get_nowait() for _ in range(page.names.qsize())}
        assert received.isdisjoint(("tasks", "agents"))
        await add_task(isolated_transaction, world.alice, world.board)
        await page.wait_for("tasks")


async def test_board_page_gets_the_states_of_its_own_agents(
    url, isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    async with open_page(url, world.alice, f"?board={world.board.id}") as page:
        for agent in (world.gardener, world.worker):
            async with isolated_transaction() as session:
                called = await session.get_one(Agent, agent.id)
                await agents.record_heartbeat(session, called, status="busy")
        await page.wait_for(f"agent-cards-{world.worker.id}")
        assert f"agent-cards-{world.gardener.id}" not in page.data


async def test_board_page_gets_updates_common_to_all_boards(
    url, isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    async with open_page(url, world.rita, f"?board={world.board.id}") as page:
        async with isolated_transaction() as session:
            await tags.create_tag(session, world.alice_member, tags.TagCreate(name="Words"))
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


async def test_a_page_that_is_ahead_of_all_events_reloads(url, isolated_world) -> None:
    """It has shown changes that a restored backup does not contain."""
    async with open_page(url, isolated_world.alice, **{"Last-Event-ID": str(10**15)}) as page:
        await page.wait_for("reset")


async def test_a_page_reloads_if_events_that_it_has_missed_were_deleted(
    url, isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    await add_task(isolated_transaction, world.alice, world.board)
    async with isolated_transaction() as session:
        last = await events.get_last_seq(session, world.tern.id)
        progress = {"position": 0, "deleted_seq": last - 1}
        session.add(EventRetention(organization_id=world.tern.id, **progress))
    for seen, is_reset in ((last - 2, True), (last - 1, False)):
        async with open_page(url, world.alice, **{"Last-Event-ID": str(seen)}) as page:
            await add_task(isolated_transaction, world.lead, world.board)
            await page.wait_for("tasks")
            assert ("reset" in page.data) is is_reset


async def test_a_page_gets_no_updates_of_a_board_whose_access_was_removed(
    url, isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    async with open_page(url, world.rita) as page:
        await add_task(isolated_transaction, world.alice, world.board)
        await page.wait_for("tasks")
        async with isolated_transaction() as session:
            lost = BoardAccess.organization_member_id == world.rita_member.id
            await session.execute(delete(BoardAccess).where(lost))
        await add_task(isolated_transaction, world.alice, world.board)
        async with isolated_transaction() as session:
            changed = EventType.ORGANIZATION_UPDATED
            await events.record_event(session, changed, None, organization_id=world.tern.id)
        async with asyncio.timeout(TIMEOUT):
            names = [await page.names.get()]
            while names[-1] != "organization":
                names.append(await page.names.get())
        assert "tasks" not in names


async def test_a_page_is_updated_when_the_rights_of_its_user_change(
    url, isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    rights = organizations.AccessRights(all_boards_write=True)
    async with open_page(url, world.rita) as rita, open_page(url, world.bob) as bob:
        async with isolated_transaction() as session:
            by = world.alice_member
            locked = await organizations.lock_member(session, by, world.rita_member.id)
            await organizations.change_member_rights(session, locked, rights)
        await rita.wait_for("rights")
        await add_task(isolated_transaction, world.alice, world.garden)
        await rita.wait_for("tasks")
        await add_task(isolated_transaction, world.alice, world.board)
        await bob.wait_for("tasks")
        received = [bob.names.get_nowait() for _ in range(bob.names.qsize())]
        assert "rights" not in received


async def test_an_idle_page_costs_no_statement(
    url, isolated_transaction, isolated_world, monkeypatch
) -> None:
    """Rights are compared once a minute; presence is recorded only for pages of a board."""
    monkeypatch.setattr("services.streams.FIRST_CHECK_DELAY", FIRST_CHECK_DELAY)
    world = isolated_world
    async with (
        open_page(url, world.alice) as alice,
        open_page(url, world.bob) as bob,
        open_page(url, world.charlie) as charlie,
    ):
        await add_task(isolated_transaction, world.alice, world.board)
        await alice.wait_for("tasks")
        await bob.wait_for("tasks")
        await add_task(isolated_transaction, world.charlie, world.charlies_board)
        await charlie.wait_for("tasks")
        await asyncio.sleep(FIRST_CHECK_DELAY + 0.5)  # the first comparison, and last uses
        with count_all_statements() as statements:
            await asyncio.sleep(1)  # to show that nothing happens
        assert statements == []


class StoppedClient(StreamClient):
    """A client of a page's stream that reads only while `reading` is set."""

    def __init__(self, app: ASGIApp, user: User) -> None:
        self.reading = asyncio.Event()
        self.reading.set()
        cookie = f"{SESSION_COOKIE}={cookie_secret(user)}"
        super().__init__(app, user, "/events", Cookie=cookie)

    async def _send(self, message: Message) -> None:
        await self.reading.wait()
        await super()._send(message)

    async def read_names(self, last: str) -> list[str]:
        """Return the names of the parts up to this one."""
        names: list[str] = []
        async with asyncio.timeout(TIMEOUT):
            while last not in names:
                block = (await self.next_block() or b"").decode()
                fields = dict(line.split(": ", 1) for line in block.split("\r\n"))
                names += [fields["event"]] if "event" in fields else []
        return names


async def test_a_page_that_does_not_keep_up_is_reset(
    committing_api_app, isolated_transaction, isolated_world, monkeypatch
) -> None:
    monkeypatch.setattr("services.events.feed.MAX_QUEUED_BATCHES", 2)
    world = isolated_world
    slow = StoppedClient(committing_api_app, world.rita)
    fast = StoppedClient(committing_api_app, world.bob)
    for page in (slow, fast):
        await page.read_names("hello")
    await add_task(isolated_transaction, world.lead, world.board)
    for page in (slow, fast):
        await page.read_names("tasks")
    slow.reading.clear()
    for _ in range(6):
        await add_task(isolated_transaction, world.lead, world.board)
        assert "reset" not in await fast.read_names("tasks")
    slow.reading.set()
    assert "reset" in await slow.read_names("reset")
    await add_task(isolated_transaction, world.lead, world.board)
    assert "reset" not in await slow.read_names("tasks")
    for page in (slow, fast):
        await page.disconnect()


async def test_page_stream_requires_sign_in(url) -> None:
    async with httpx2.AsyncClient(base_url=url, timeout=20) as client:
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


async def test_board_page_is_updated_when_viewers_come_and_go(url, isolated_world) -> None:
    world = isolated_world
    query = f"?board={world.board.id}"
    async with (
        open_page(url, world.dana, query) as dana,  # has no read access
        open_page(url, world.charlie, query) as charlie,
        open_page(url, world.alice) as other_page,
        open_page(url, world.alice, query) as page,
    ):
        await page.wait_for("presence")  # the state when the page connects
        async with open_page(url, world.bob, query) as bob:
            await page.wait_for("presence")
            await bob.wait_for("presence")
        await page.wait_for("presence")
        for other in (dana, charlie, other_page):
            assert other.names.empty()
