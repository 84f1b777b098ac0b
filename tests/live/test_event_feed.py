"""Subscriptions to the events of an organization, with real commits."""

import asyncio

import pytest
from sqlalchemy import text

from core.db.listen import PostgresListener
from models import Event, EventType, new_id
from services import events
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.statement_counter import count_all_statements, count_statements


@pytest.fixture
async def listener(isolated_settings):
    listener = PostgresListener()
    listening = asyncio.create_task(listener.listen(isolated_settings.dsn))
    await asyncio.wait_for(listener.connected.wait(), 10)
    yield listener
    listening.cancel()


@pytest.fixture
async def feed(isolated_transaction, listener):
    feed = events.EventFeed(isolated_transaction, listener)
    yield feed
    await feed.close()


async def record_event(transaction, world, type: EventType = EventType.TASK_UPDATED) -> int:
    """Record an event and return its number."""
    id = new_id()
    async with transaction() as session:
        await events.record_event(
            session, type, world.alice, organization_id=world.tern.id, board=world.board, id=id
        )
    async with transaction() as session:
        number = text("select seq from activity_events where id = :id")
        return (await session.scalars(number, {"id": id})).one()


async def next_seqs(subscription: events.EventSubscription) -> list[int]:
    while not (batch := await asyncio.wait_for(subscription.next(60), 10)).events:
        pass
    return [event.seq for event in batch.events]


async def test_subscriber_gets_missed_events_and_then_new_ones(
    isolated_transaction, isolated_world, feed
) -> None:
    missed = await record_event(isolated_transaction, isolated_world)
    subscription = feed.subscribe(isolated_world.tern.id, 0)
    assert await next_seqs(subscription) == [missed]

    waiting = asyncio.create_task(next_seqs(subscription))
    new = await record_event(isolated_transaction, isolated_world)
    assert await waiting == [new]
    subscription.close()


async def test_subscribers_of_an_organization_share_one_reader(
    isolated_transaction, isolated_world, feed
) -> None:
    """P2."""
    subscriptions = [feed.subscribe(isolated_world.tern.id, 0) for _ in range(20)]
    first = await record_event(isolated_transaction, isolated_world)
    assert await asyncio.gather(*map(next_seqs, subscriptions)) == [[first]] * 20
    waiting = [asyncio.create_task(next_seqs(subscription)) for subscription in subscriptions]

    second = await record_event(isolated_transaction, isolated_world)

    assert await asyncio.gather(*waiting) == [[second]] * 20
    assert len(feed._readers) == 1
    for subscription in subscriptions:
        subscription.close()
    assert not feed._readers


async def test_rolled_back_events_are_not_published(
    isolated_transaction, isolated_world, feed, listener
) -> None:
    with listener.subscribe(str(isolated_world.tern.id)) as notified:
        async with isolated_transaction() as session:
            await events.record_event(
                session,
                EventType.TASK_UPDATED,
                isolated_world.alice,
                organization_id=isolated_world.tern.id,
            )
            await session.rollback()
        kept = await record_event(isolated_transaction, isolated_world)
        await asyncio.wait_for(notified.wait(), 10)
    subscription = feed.subscribe(isolated_world.tern.id, 0)
    assert await next_seqs(subscription) == [kept]
    subscription.close()


async def test_an_idle_subscriber_gets_empty_batches(isolated_world, feed) -> None:
    subscription = feed.subscribe(isolated_world.tern.id, 0)
    assert await asyncio.wait_for(subscription.next(0.05), 10) is events.NOTHING  # it is up to date
    assert await asyncio.wait_for(subscription.next(0.05), 10) is events.TIMED_OUT
    subscription.wake()
    assert await asyncio.wait_for(subscription.next(60), 10) is events.NOTHING
    subscription.close()


async def test_events_of_other_organizations_are_not_received(
    isolated_transaction, isolated_world, feed
) -> None:
    """P3."""
    subscription = feed.subscribe(isolated_world.plover.id, 0)
    await record_event(isolated_transaction, isolated_world)
    for _ in range(3):
        assert not (await asyncio.wait_for(subscription.next(0.05), 10)).events
    subscription.close()


async def test_an_event_is_read_once_for_all_subscribers(
    isolated_transaction, isolated_world, feed
) -> None:
    subscriptions = [feed.subscribe(isolated_world.tern.id, 0) for _ in range(20)]
    for subscription in subscriptions:
        await subscription.next(60)
    waiting = [asyncio.create_task(subscription.next(60)) for subscription in subscriptions]
    with count_all_statements() as statements:
        await record_event(isolated_transaction, isolated_world)
        batches = await asyncio.wait_for(asyncio.gather(*waiting), 10)
    reads = [one for one in statements if one.startswith("SELECT activity_events.")]
    assert len(reads) == 1
    assert len({id(batch) for batch in batches}) == 1
    for subscription in subscriptions:
        subscription.close()


async def test_an_event_without_a_notification_is_found_and_reported(
    isolated_transaction, isolated_world, monkeypatch
) -> None:
    """The rights of streams are compared then, because other notifications may be lost as well."""
    monkeypatch.setattr("services.events.feed.POLL_INTERVAL", 0.05)
    deaf = PostgresListener()
    feed = events.EventFeed(isolated_transaction, deaf)
    subscription = feed.subscribe(isolated_world.tern.id, 0)
    assert not (await subscription.next(0.05)).events
    seq = await record_event(isolated_transaction, isolated_world)
    assert await next_seqs(subscription) == [seq]
    assert deaf.interruptions == 1
    subscription.close()
    await feed.close()


async def test_a_commit_that_waits_for_another_one_has_no_numbers_yet(
    isolated_transaction, isolated_world
) -> None:
    """Otherwise its events would appear after those with greater numbers."""
    inserted = []
    async with asyncio.TaskGroup() as group, isolated_transaction() as session:
        await session.execute(text("set constraints record_events immediate"))
        for _ in range(2):
            id = new_id()
            await events.record_event(
                session,
                EventType.TASK_UPDATED,
                isolated_world.alice,
                organization_id=isolated_world.tern.id,
                id=id,
            )
            inserted.append((await session.get_one(Event, id)).seq)
            if len(inserted) == 1:
                waiting = group.create_task(record_event(isolated_transaction, isolated_world))
                await wait_for_lock_waiter(isolated_transaction)
    [first, second] = inserted
    assert (second, waiting.result()) == (first + 1, first + 2)


async def test_concurrent_events_are_received_in_order_of_their_numbers(
    isolated_transaction, isolated_world, feed
) -> None:
    """R7."""
    world = isolated_world

    async def record(actor, count: int) -> None:
        async with isolated_transaction() as session:
            new_events = events.NewEvent(
                EventType.TASK_UPDATED, actor, organization_id=world.tern.id, board=world.board
            )
            await events.record_events(session, [new_events] * count)

    subscription = feed.subscribe(world.tern.id, 0)
    async with asyncio.TaskGroup() as group:
        for n in range(40):
            group.create_task(record(world.alice, 1 + n % 3))
        received: list[int] = []
        while len(received) < sum(1 + n % 3 for n in range(40)):
            received += await next_seqs(subscription)
    assert received == sorted(set(received))
    subscription.close()


async def test_several_events_are_recorded_in_order_in_one_statement(
    isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    new_events = [
        events.NewEvent(
            EventType.TASK_UPDATED, world.alice, organization_id=organization.id, data={"n": n}
        )
        for n, organization in enumerate([world.tern, world.plover] * 100)
    ]
    async with isolated_transaction() as session:
        with count_statements(await session.connection()) as statements:
            await events.record_events(session, new_events)
    async with isolated_transaction() as session:
        ours = await events.list_events_after(session, world.tern.id, 0)
    assert len(statements) == 1
    assert [one.data["n"] for one in ours] == [*range(0, 200, 2)]
    first = ours[0].seq
    assert [one.seq - first for one in ours] == [*range(0, 200, 2)]


async def test_subscriber_that_is_far_behind_gets_all_events(
    isolated_transaction, isolated_world, feed, monkeypatch
) -> None:
    """Events that are no longer in memory are read from the table."""
    monkeypatch.setattr("services.events.feed.MAX_CACHED_EVENTS", 5)
    monkeypatch.setattr("services.events.feed.MAX_QUEUED_BATCHES", 2)
    subscription = feed.subscribe(isolated_world.tern.id, 0)
    other = feed.subscribe(isolated_world.tern.id, 0)
    first = await record_event(isolated_transaction, isolated_world)
    assert await next_seqs(subscription) == await next_seqs(other) == [first]

    new_events = []
    for _ in range(12):
        new_events.append(await record_event(isolated_transaction, isolated_world))
        assert await next_seqs(other) == new_events[-1:]

    received: list[int] = []
    while len(received) < 12:
        received += await next_seqs(subscription)
    assert received == new_events
    subscription.close()
    other.close()


async def test_subscriber_that_may_skip_continues_after_a_gap(
    isolated_transaction, isolated_world, feed, monkeypatch
) -> None:
    monkeypatch.setattr("services.events.feed.MAX_QUEUED_BATCHES", 2)
    slow = feed.subscribe(isolated_world.tern.id, 0, may_skip=True)
    fast = feed.subscribe(isolated_world.tern.id, 0, may_skip=True)
    assert not (await slow.next(60)).events
    seqs = []
    for _ in range(4):
        seqs.append(await record_event(isolated_transaction, isolated_world))
        assert await next_seqs(fast) == seqs[-1:]

    batch = await slow.next(60)
    assert batch.has_gap
    assert [event.seq for event in batch.events] == seqs[2:]
    seqs.append(await record_event(isolated_transaction, isolated_world))
    later = await slow.next(60)
    while not later.events:
        later = await slow.next(60)
    assert not later.has_gap
    assert [event.seq for event in later.events] == seqs[4:]
    slow.close()
    fast.close()


async def test_subscriber_survives_loss_of_all_connections(
    isolated_settings, isolated_transaction, isolated_world, feed
) -> None:
    import asyncpg

    subscription = feed.subscribe(isolated_world.tern.id, 0)
    await record_event(isolated_transaction, isolated_world)
    await next_seqs(subscription)
    killer = await asyncpg.connect(isolated_settings.dsn)
    await killer.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()"
    )
    async with asyncio.timeout(20):
        while True:
            try:
                seq = await record_event(isolated_transaction, isolated_world)
                break
            except Exception:  # the pool still holds dead connections
                await asyncio.sleep(0.05)
        received: list[int] = []
        while seq not in received:
            received += await next_seqs(subscription)
    await killer.close()
    subscription.close()
