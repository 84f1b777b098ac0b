"""The viewers of boards are recorded together, and notified when others come or leave."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import Board, Presence, User
from services import presence
from services.presence import ABSENT_AFTER, BoardVisits, OpenVisit, Visit
from tests.support.statement_counter import count_all_statements
from tests.support.world import World

TIMEOUT = 10  # seconds


class OpenPages:
    """The open pages of a process."""

    def __init__(self, visits: BoardVisits) -> None:
        self.visits = visits
        self._woken: dict[OpenVisit, asyncio.Event] = {}

    def open(self, user: User, board: Board) -> OpenVisit:
        woken = asyncio.Event()
        opened = self.visits.begin(Visit(board.id, user.id), woken.set)
        opened.has_change = False
        self._woken[opened] = woken
        return opened

    async def wait_for_change(self, opened: OpenVisit) -> None:
        """Wait until other viewers of the board came or left."""
        async with asyncio.timeout(TIMEOUT):
            await self._woken[opened].wait()
        assert opened.has_change
        self._woken[opened].clear()
        opened.has_change = False


@asynccontextmanager
async def run_process(
    settings: Settings, transaction: TransactionFactory
) -> AsyncGenerator[OpenPages]:
    """Run a process without open pages."""
    listener = PostgresListener()
    visits = BoardVisits(transaction, listener)
    listening = asyncio.create_task(listener.listen(settings.dsn))
    await asyncio.wait_for(listener.connected.wait(), TIMEOUT)
    yield OpenPages(visits)
    await visits.close()
    listening.cancel()


@pytest.fixture(autouse=True)
def _soon_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is opened again at once, or not at all."""
    monkeypatch.setattr("services.presence.visits.END_DELAY", 0.1)


@pytest.fixture
async def processes(
    isolated_settings: Settings, isolated_transaction: TransactionFactory
) -> AsyncIterator[list[OpenPages]]:
    """Two processes of the installation."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(run_process(isolated_settings, isolated_transaction))
            for _ in range(2)
        ]


@pytest.fixture
def list_present(isolated_transaction: TransactionFactory) -> Callable:
    async def list_visits(board: Board) -> set[object]:
        async with isolated_transaction() as session:
            return {one.user_id for one in await presence.list_visits(session, [board.id])}

    return list_visits


async def test_viewers_are_notified_in_all_processes_when_others_come_and_leave(
    processes: list[OpenPages], isolated_world: World, list_present: Callable
) -> None:
    world, (one, other) = isolated_world, processes
    alices = one.open(world.alice, world.board)
    bobs = other.open(world.bob, world.board)
    await one.wait_for_change(alices)
    await other.wait_for_change(bobs)
    ritas = one.open(world.rita, world.board)
    await one.wait_for_change(alices)
    await other.wait_for_change(bobs)
    assert await list_present(world.board) == {world.alice.id, world.bob.id, world.rita.id}
    one.visits.end(ritas)
    await one.wait_for_change(alices)
    await other.wait_for_change(bobs)
    assert await list_present(world.board) == {world.alice.id, world.bob.id}


async def test_a_user_stays_as_long_as_another_process_has_a_page(
    processes: list[OpenPages],
    isolated_world: World,
    list_present: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.presence.visits.RECORD_INTERVAL", 3600)
    world, (one, other) = isolated_world, processes
    alices = other.open(world.alice, world.board)
    bobs = one.open(world.bob, world.board)
    other.open(world.bob, world.board)
    await other.wait_for_change(alices)
    one.visits.end(bobs)
    await other.wait_for_change(alices)  # he left in one process, and is recorded again
    async with asyncio.timeout(TIMEOUT):
        while world.bob.id not in await list_present(world.board):
            await asyncio.sleep(0.02)


async def test_a_page_that_is_opened_again_continues_the_visit(
    processes: list[OpenPages],
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    list_present: Callable,
) -> None:
    world, pages = isolated_world, processes[0]
    alices, first = pages.open(world.alice, world.board), pages.open(world.bob, world.board)
    await pages.wait_for_change(alices)
    with count_all_statements() as statements:
        pages.visits.end(first)
        pages.open(world.bob, world.board)
        ritas = pages.open(world.rita, world.board)
        await pages.wait_for_change(alices)
        pages.visits.end(ritas)
        await pages.wait_for_change(alices)
    assert len([one for one in statements if "delete from presences" in one]) == 1
    assert await list_present(world.board) == {world.alice.id, world.bob.id}


async def test_one_statement_records_all_pages(
    processes: list[OpenPages],
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.presence.visits.RECORD_INTERVAL", 0.05)
    world, pages = isolated_world, processes[0]
    users = [world.alice, world.bob, world.rita, world.dana]
    for user in users:
        for board in (world.board, world.garden):
            pages.open(user, board)
            pages.open(user, board)
    async with asyncio.timeout(TIMEOUT):
        for _ in range(2):  # when the pages are opened, and later
            started_at = now()
            while len(times := await list_record_times(isolated_transaction, started_at)) < 8:
                await asyncio.sleep(0.02)
            assert len({*times}) == 1


async def list_record_times(transaction: TransactionFactory, since: datetime) -> list[datetime]:
    async with transaction() as session:
        return [*await session.scalars(select(Presence.seen_at).where(Presence.seen_at >= since))]


async def test_a_viewer_whose_process_has_crashed_disappears(
    processes: list[OpenPages],
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.presence.visits.RECORD_INTERVAL", 0.05)
    world, pages = isolated_world, processes[0]
    async with isolated_transaction() as session:
        await presence.record_visits(session, [Visit(world.board.id, world.bob.id)])
    alices = pages.open(world.alice, world.board)
    await pages.wait_for_change(alices)
    silent = now() - ABSENT_AFTER - timedelta(seconds=1)
    async with isolated_transaction() as session:
        crashed = update(Presence).where(Presence.user_id == world.bob.id)
        await session.execute(crashed.values(seen_at=silent))
    await pages.wait_for_change(alices)


@pytest.mark.parametrize("error", [ConnectionResetError, ZeroDivisionError])
async def test_viewers_are_recorded_again_after_an_error(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    monkeypatch.setattr("services.presence.visits.RECORD_INTERVAL", 0.05)
    world, errors = isolated_world, [error()]

    @asynccontextmanager
    async def failing() -> AsyncGenerator[AsyncSession]:
        async with isolated_transaction() as session:
            yield session
            if errors:
                raise errors.pop()

    async with run_process(isolated_settings, failing) as pages:
        alices = pages.open(world.alice, world.board)
        pages.open(world.bob, world.board)
        await pages.wait_for_change(alices)
    assert not errors


async def test_a_visit_ends_although_the_database_was_away(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    list_present: Callable,
) -> None:
    world, errors = isolated_world, [ConnectionResetError()]

    @asynccontextmanager
    async def failing() -> AsyncGenerator[AsyncSession]:
        async with isolated_transaction() as session:
            yield session
            if errors and await session.scalar(select(Presence.id)) is None:
                raise errors.pop()

    async with run_process(isolated_settings, failing) as pages:
        opened = pages.open(world.alice, world.board)
        async with asyncio.timeout(TIMEOUT):
            while not await list_present(world.board):
                await asyncio.sleep(0.02)
        pages.visits.end(opened)
        assert pages.visits._task is not None
        await asyncio.wait_for(pages.visits._task, TIMEOUT)
        assert not errors
        assert not await list_present(world.board)


async def test_without_open_pages_nothing_is_written(
    processes: list[OpenPages], isolated_world: World
) -> None:
    world, pages = isolated_world, processes[0]
    opened = pages.open(world.alice, world.board)
    pages.visits.end(opened)
    task = pages.visits._task
    assert task is not None
    await asyncio.wait_for(task, TIMEOUT)
    assert pages.visits._task is task


async def test_a_visit_of_a_deleted_board_or_user_is_not_recorded(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """The others of the same statement are."""
    world = isolated_world
    visits = [
        Visit(world.alice.id, world.alice.id),
        Visit(world.board.id, world.board.id),
        Visit(world.board.id, world.alice.id),
    ]
    async with isolated_transaction() as session:
        assert await presence.record_visits(session, visits) == {visits[2]}
