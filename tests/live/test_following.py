"""Following an organization's events from another process, as they happen."""

import asyncio

import pytest
from sqlalchemy import event

from kit.doorbell import Doorbell
from models import EventType
from services import events
from tests.race.waiting import somebody_waits


@pytest.fixture
async def doorbell(own_settings):
    doorbell = Doorbell()
    listening = asyncio.create_task(doorbell.listen(own_settings.dsn))
    await asyncio.wait_for(doorbell.listening.wait(), 10)
    yield doorbell
    listening.cancel()


@pytest.fixture
async def feed(real_transaction, doorbell):
    feed = events.Feed(real_transaction, doorbell)
    yield feed
    await feed.close()


async def happen(transaction, world, type: EventType = EventType.TASK_UPDATED) -> int:
    async with transaction() as session:
        event = await events.record(
            session, type, world.alice, organization_id=world.tern.id, board=world.board
        )
    return event.seq


async def news(followed):
    while not (batch := await asyncio.wait_for(anext(followed), 10)):
        pass
    return [event.seq for event in batch]


async def test_a_follower_is_told_what_it_missed_and_then_what_is_new(
    real_transaction, real_world, feed
) -> None:
    missed = await happen(real_transaction, real_world)
    followed = feed.follow(real_world.tern.id, 0, every=60)
    assert await news(followed) == [missed]

    waiting = asyncio.create_task(news(followed))
    new = await happen(real_transaction, real_world)
    assert await waiting == [new]
    await followed.aclose()


async def test_all_followers_of_an_organization_share_one_reader(
    real_transaction, real_world, feed
) -> None:
    """P2."""
    follow = [feed.follow(real_world.tern.id, 0, every=60) for _ in range(20)]
    first = await happen(real_transaction, real_world)
    assert await asyncio.gather(*map(news, follow)) == [[first]] * 20
    waiting = [asyncio.create_task(news(followed)) for followed in follow]

    second = await happen(real_transaction, real_world)

    assert await asyncio.gather(*waiting) == [[second]] * 20
    assert len(feed._readers) == 1
    for followed in follow:
        await followed.aclose()
    assert not feed._readers


async def test_what_is_rolled_back_is_never_heard(
    real_transaction, real_world, feed, doorbell
) -> None:
    with doorbell.hear(str(real_world.tern.id)) as ringing:
        async with real_transaction() as session:
            await events.record(
                session,
                EventType.TASK_UPDATED,
                real_world.alice,
                organization_id=real_world.tern.id,
            )
            await session.rollback()
        kept = await happen(real_transaction, real_world)
        await asyncio.wait_for(ringing.wait(), 10)
    followed = feed.follow(real_world.tern.id, 0, every=60)
    assert await news(followed) == [kept]
    await followed.aclose()


async def test_a_quiet_follower_is_asked_now_and_then_whether_it_may_still_listen(
    real_world, feed
) -> None:
    followed = feed.follow(real_world.tern.id, 0, every=0.05)
    assert not await asyncio.wait_for(anext(followed), 10)
    assert not await asyncio.wait_for(anext(followed), 10)
    await followed.aclose()


async def test_another_organization_is_not_heard(real_transaction, real_world, feed) -> None:
    """P3."""
    followed = feed.follow(real_world.plover.id, 0, every=0.05)
    await happen(real_transaction, real_world)
    for _ in range(3):
        assert not await asyncio.wait_for(anext(followed), 10)
    await followed.aclose()


async def test_events_appear_in_the_order_of_their_numbers(real_transaction, real_world) -> None:
    """R7. While one transaction has recorded and not committed, another one waits to record."""

    async def record(commit: asyncio.Event, recorded: asyncio.Event) -> int:
        async with real_transaction() as session:
            event = await events.record(
                session,
                EventType.TASK_UPDATED,
                real_world.alice,
                organization_id=real_world.tern.id,
            )
            recorded.set()
            await commit.wait()
            return event.seq

    may_commit, has_recorded, at_once, second_has = (asyncio.Event() for _ in range(4))
    at_once.set()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(record(may_commit, has_recorded))
        await has_recorded.wait()
        second = group.create_task(record(at_once, second_has))
        await asyncio.sleep(0.1)  # only to show that nothing happens
        assert not second_has.is_set()
        may_commit.set()
    assert first.result() < second.result()


async def test_a_number_is_drawn_only_when_its_turn_has_come(real_transaction, real_world) -> None:
    """Who waits has no number yet, or it would appear after greater ones."""

    async def record(session) -> int:
        organization_id = real_world.tern.id
        event = await events.record(
            session, EventType.TASK_UPDATED, real_world.alice, organization_id=organization_id
        )
        return event.seq

    async def wait_and_record() -> int:
        async with real_transaction() as session:
            return await record(session)

    async with asyncio.TaskGroup() as group, real_transaction() as session:
        first = await record(session)
        waiting = group.create_task(wait_and_record())
        await somebody_waits(real_transaction)
        second = await record(session)
    assert (second, waiting.result()) == (first + 1, first + 2)


async def test_many_that_record_at_once_are_heard_in_the_order_of_their_numbers(
    real_transaction, real_world, feed
) -> None:
    """R7."""
    world = real_world

    async def record(actor, several: int) -> None:
        async with real_transaction() as session:
            happened = events.Happened(
                EventType.TASK_UPDATED, actor, organization_id=world.tern.id, board=world.board
            )
            await events.record_all(session, [happened] * several)

    followed = feed.follow(world.tern.id, 0, every=60)
    async with asyncio.TaskGroup() as group:
        for n in range(40):
            group.create_task(record(world.alice, 1 + n % 3))
        heard: list[int] = []
        while len(heard) < sum(1 + n % 3 for n in range(40)):
            heard += await news(followed)
    assert heard == sorted(set(heard))
    await followed.aclose()


async def test_what_happens_together_is_written_in_its_order_in_one_statement(
    real_transaction, real_world
) -> None:
    world = real_world
    sent: list[str] = []
    happened = [
        events.Happened(
            EventType.TASK_UPDATED, world.alice, organization_id=organization.id, data={"n": n}
        )
        for n, organization in enumerate([world.tern, world.plover] * 100)
    ]
    async with real_transaction() as session:
        connection = await session.connection()

        def count(*args) -> None:
            sent.append(args[2])

        event.listen(connection.sync_connection, "before_cursor_execute", count)
        recorded = await events.record_all(session, happened)
    async with real_transaction() as session:
        ours = await events.after(session, world.tern.id, 0)
    assert len(sent) == 1
    assert [one.data["n"] for one in recorded] == list(range(200))
    assert [one.seq for one in recorded] == sorted(one.seq for one in recorded)
    assert [(one.seq, one.data["n"]) for one in ours] == [
        (one.seq, one.data["n"]) for one in recorded if one.organization_id == world.tern.id
    ]


async def test_a_follower_that_fell_far_behind_loses_nothing(
    real_transaction, real_world, feed, monkeypatch
) -> None:
    """What is no longer in memory is read from the table."""
    monkeypatch.setattr("services.events.following.KEPT", 5)
    followed = feed.follow(real_world.tern.id, 0, every=60)
    first = await happen(real_transaction, real_world)
    assert await news(followed) == [first]

    happened = [await happen(real_transaction, real_world) for _ in range(12)]

    heard: list[int] = []
    while len(heard) < 12:
        heard += await news(followed)
    assert heard == happened
    await followed.aclose()


async def test_a_follower_survives_the_loss_of_every_connection(
    own_settings, real_transaction, real_world, feed
) -> None:
    import asyncpg

    followed = feed.follow(real_world.tern.id, 0, every=0.2)
    await happen(real_transaction, real_world)
    await news(followed)
    killer = await asyncpg.connect(own_settings.dsn)
    await killer.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()"
    )
    async with asyncio.timeout(20):
        while True:
            try:
                seq = await happen(real_transaction, real_world)
                break
            except Exception:  # the pool still holds dead connections
                await asyncio.sleep(0.05)
        heard: list[int] = []
        while seq not in heard:
            heard += await news(followed)
    await killer.close()
    await followed.aclose()
