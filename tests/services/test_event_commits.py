"""Events are inserted when their transaction commits."""

import asyncio

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from models import AuditRecord, Event, EventCommit, EventType
from services.events import NewEvent, record_events
from tests.support.world import World

TIMEOUT = 10  # seconds


async def record_names(session: AsyncSession, world: World, *names: str) -> None:
    events = [
        NewEvent(
            EventType.TAG_CREATED,
            world.alice,
            organization_id=world.tern.id,
            data={"tag_id": str(world.board.id), "name": name},
        )
        for name in names
    ]
    await record_events(session, events)


async def list_names(transaction: TransactionFactory) -> list[str]:
    """Return the names of the recorded tags, in the order of their events."""
    created = Event.type == EventType.TAG_CREATED
    async with transaction() as session:
        name = Event.data["name"].astext
        return [*await session.scalars(select(name).where(created).order_by(Event.seq))]


async def test_an_open_transaction_lets_others_record_and_gets_later_numbers(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with isolated_transaction() as first:
        await record_names(first, isolated_world, "first")
        async with asyncio.timeout(TIMEOUT), isolated_transaction() as second:
            await record_names(second, isolated_world, "second")
        assert await list_names(isolated_transaction) == ["second"]
    assert await list_names(isolated_transaction) == ["second", "first"]


async def test_events_of_several_calls_keep_their_order_and_are_audited(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with isolated_transaction() as session:
        await record_names(session, isolated_world, "a", "b")
        await record_names(session, isolated_world, "c")
    assert await list_names(isolated_transaction) == ["a", "b", "c"]
    async with isolated_transaction() as session:
        names = select(AuditRecord.object_name).where(AuditRecord.action == "tag.created")
        found = [*await session.scalars(names.order_by(AuditRecord.sequence))]
        assert found == ["a", "b", "c"]
        assert await session.scalar(select(func.count()).select_from(EventCommit)) == 0


@pytest.mark.parametrize("is_first", [True, False])
async def test_events_of_a_savepoint_are_rolled_back_with_it(
    isolated_transaction: TransactionFactory, isolated_world: World, is_first: bool
) -> None:
    async with isolated_transaction() as session:
        if not is_first:
            await record_names(session, isolated_world, "before")
        savepoint = await session.begin_nested()
        await record_names(session, isolated_world, "lost")
        await savepoint.rollback()
        await record_names(session, isolated_world, "after")
    expected = ["after"] if is_first else ["before", "after"]
    assert await list_names(isolated_transaction) == expected


async def test_an_event_that_cannot_be_inserted_undoes_its_transaction(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    same = NewEvent(
        EventType.TAG_CREATED,
        isolated_world.alice,
        organization_id=isolated_world.tern.id,
        id=isolated_world.board.id,
        data={"name": "twice"},
    )
    with pytest.raises(Exception, match="pk_activity_events"):
        async with isolated_transaction() as session:
            await record_events(session, [same, same])
    assert await list_names(isolated_transaction) == []
    async with isolated_transaction() as session:
        await record_names(session, isolated_world, "next")
    assert await list_names(isolated_transaction) == ["next"]
