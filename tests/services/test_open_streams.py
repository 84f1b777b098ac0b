"""The rights of open streams are read once for all streams that share them, when they change."""

import asyncio
import gc
from collections.abc import Generator
from contextlib import ExitStack
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import delete, update

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import AgentToken, BoardAccess, SignIn, new_id
from services.streams import MAX_LOADS, Readable, StreamRights
from tests.support.statement_counter import count_all_statements
from tests.support.world import World

KEY = "a credential and an address"


class CountingSource:
    """Counts how often rights are read, and how often at once."""

    def __init__(self, actor_id: UUID | None = None) -> None:
        self.actor_id = actor_id or new_id()
        self.count = self.running = self.most = 0
        self.error: Exception | None = None

    async def load_rights(self) -> Readable:
        self.count += 1
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        if self.error is not None:
            raise self.error
        return frozenset({UUID(int=self.count)})


class Streams:
    """Streams that are open for the duration of a test, and how often each was woken."""

    def __init__(self, rights: StreamRights, stack: ExitStack) -> None:
        self.rights = rights
        self.woken: list[int] = []
        self._stack = stack

    def open(self, source: CountingSource, key: object = KEY, expires_at: datetime | None = None):
        """Open a stream, and return its rights."""
        number = len(self.woken)
        self.woken.append(0)

        def wake() -> None:
            self.woken[number] += 1

        shared = self.rights.join(key, source, expires_at=expires_at, wake=wake)
        self._stack.callback(shared.leave, wake)
        return shared


@pytest.fixture
def listener() -> PostgresListener:
    return PostgresListener()


@pytest.fixture
def streams(
    isolated_transaction: TransactionFactory, listener: PostgresListener
) -> Generator[Streams]:
    with ExitStack() as stack:
        yield Streams(StreamRights(isolated_transaction, listener), stack)


async def test_streams_with_the_same_key_share_one_read(streams: Streams) -> None:
    source = CountingSource()
    opened = [streams.open(source) for _ in range(1_000)]
    results = await asyncio.gather(*(one.get(0) for one in opened))
    assert (source.count, {*results}) == (1, {frozenset({UUID(int=1)})})
    assert opened[0].get_known(0) == results[0]
    other = streams.open(source, "another key")
    assert other.get_known(0) is None
    await other.get(0)
    assert source.count == 2


async def test_rights_are_read_after_an_event_that_may_have_changed_them(streams: Streams) -> None:
    source = CountingSource()
    shared = streams.open(source)
    for changed_by, count in [(0, 1), (7, 2), (7, 2), (0, 2), (8, 3)]:
        await shared.get(changed_by)
        assert source.count == count


async def test_rights_that_change_while_they_are_read_are_read_again(streams: Streams) -> None:
    source = CountingSource()
    shared = streams.open(source)
    reading = asyncio.create_task(shared.get(0))
    while not source.running:
        await asyncio.sleep(0)
    shared.invalidate()
    assert await reading == frozenset({UUID(int=2)})


async def test_a_failed_read_is_repeated(streams: Streams) -> None:
    source = CountingSource()
    source.error = ConnectionError()
    shared = streams.open(source)
    with pytest.raises(ConnectionError):
        await shared.get(0)
    source.error = None
    assert await shared.get(0) == frozenset({UUID(int=2)})


async def test_few_reads_run_at_once(streams: Streams) -> None:
    source = CountingSource()
    opened = [streams.open(source, n) for n in range(100)]
    await asyncio.gather(*(one.get(0) for one in opened))
    assert (source.count, source.most) == (100, MAX_LOADS)


async def test_streams_end_at_the_time_of_expiry(streams: Streams) -> None:
    shared = streams.open(CountingSource(), expires_at=now() + timedelta(seconds=0.05))
    assert await shared.get(0) is not None
    async with asyncio.timeout(10):
        while not streams.woken[0]:
            await asyncio.sleep(0.01)
    assert shared.get_known(0) is None
    assert await shared.get(0) is None


async def test_a_notification_wakes_the_streams_of_that_actor_only(
    streams: Streams, listener: PostgresListener
) -> None:
    one, other = CountingSource(), CountingSource()
    for source, key in [(one, 1), (one, 2), (other, 3)]:
        await streams.open(source, key).get(0)
    listener._on_notification(None, 0, "", f"rights:{one.actor_id}")
    assert streams.woken == [1, 1, 0]


async def test_an_interruption_wakes_all_streams(
    streams: Streams, listener: PostgresListener
) -> None:
    """An idle stream of somebody who lost access meanwhile ends at once."""
    for key in (1, 2):
        await streams.open(CountingSource(), key).get(0)
    listener.report_missed_notification()
    assert streams.woken == [1, 1]


async def test_an_interruption_compares_all_rights_in_one_statement(
    streams: Streams,
    listener: PostgresListener,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
) -> None:
    """Rights that did not change are not read again."""
    world = isolated_world
    actors = [world.alice, world.bob, world.rita, world.worker, world.lead]
    sources = [CountingSource(actor.id) for actor in actors]
    opened = [streams.open(source, source) for source in sources]
    await asyncio.gather(*(one.get(0) for one in opened))
    await streams.rights._compare()
    assert [source.count for source in sources] == [1] * 5

    async with isolated_transaction() as session:
        await session.execute(delete(BoardAccess).where(BoardAccess.id == world.bob_access.id))
        await session.execute(delete(SignIn).where(SignIn.user_id == world.rita.id))
        ended = update(AgentToken).where(AgentToken.agent_id == world.lead.id)
        await session.execute(ended.values(ended_at=now()))
    listener.report_missed_notification()
    with count_all_statements() as statements:
        await asyncio.gather(*(one.get(0) for one in opened))
    assert [source.count for source in sources] == [1, 2, 2, 1, 2]
    # The listener of the process may just have connected.
    connecting = ("LISTEN", "select pg_backend_pid()")
    assert len([one for one in statements if not one.startswith(connecting)]) == 1


async def test_rights_that_were_never_compared_are_read_after_an_interruption(
    streams: Streams, listener: PostgresListener, isolated_world: World
) -> None:
    source = CountingSource(isolated_world.alice.id)
    shared = streams.open(source)
    await shared.get(0)
    listener.report_missed_notification()
    await shared.get(0)
    assert source.count == 2


async def test_without_streams_nothing_is_compared(streams: Streams) -> None:
    wake = asyncio.Event().set
    shared = streams.rights.join(KEY, CountingSource(), expires_at=None, wake=wake)
    assert streams.rights._timer is not None
    shared.leave(wake)
    assert streams.rights._timer is None


async def test_an_error_after_all_streams_have_ended_concerns_nobody(streams: Streams) -> None:
    source = CountingSource()
    source.error = ConnectionError("the database is away")
    reported: list[object] = []
    loop = asyncio.get_running_loop()
    known = loop.get_exception_handler()
    gc.freeze()  # ignores what other tests have left
    loop.set_exception_handler(lambda _, context: reported.append(context["message"]))
    try:
        waiting = asyncio.create_task(streams.open(source, key="left").get(0))
        while not source.running:
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        streams.rights.remove(streams.rights._shared["left"])
        await asyncio.sleep(0.01)
        gc.collect()
    finally:
        loop.set_exception_handler(known)
    assert reported == []
