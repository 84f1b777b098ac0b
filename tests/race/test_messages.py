"""Concurrent operations on the same message, with real commits."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from models import Agent, Event, EventType, Message, MessageState
from services import messages
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.rounds import ROUNDS, run_rounds
from tests.support.world import World

NOTIFIED = EventType.TASK_ASSIGNEE_NOTIFIED

Operation = Callable[[AsyncSession, Message], Awaitable[object]]


async def enqueue_many(transaction: TransactionFactory, world: World) -> list[Message]:
    outgoing = [
        messages.OutgoingMessage(
            to=world.worker, content="TASK ASSIGNED\nDo it.", on_delivered=NOTIFIED
        )
        for _ in range(ROUNDS)
    ]
    async with transaction() as session:
        await messages.enqueue_messages(session, outgoing)
        return list(await session.scalars(select(Message)))


async def run_twice(
    transaction: TransactionFactory, sent: Sequence[Message], operation: Operation
) -> None:
    """Run an operation twice concurrently on each message."""

    async def twice(message: Message) -> None:
        async def once() -> None:
            async with transaction() as session:
                await operation(session, message)

        await asyncio.gather(once(), once())

    await run_rounds(sent, twice)


async def count_events(transaction: TransactionFactory, type: EventType) -> int:
    async with transaction() as session:
        count = select(func.count()).select_from(Event).where(Event.type == type)
        return await session.scalar(count) or 0


async def test_two_concurrent_acknowledgements_are_recorded_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    sent = await enqueue_many(isolated_transaction, isolated_world)
    await run_twice(
        isolated_transaction,
        sent,
        lambda session, one: messages.acknowledge_message(session, isolated_world.worker, one.id),
    )
    assert await count_events(isolated_transaction, EventType.MESSAGE_ACKNOWLEDGED) == ROUNDS
    assert await count_events(isolated_transaction, NOTIFIED) == ROUNDS


async def test_two_concurrent_retries_queue_a_message_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    failed = await enqueue_many(isolated_transaction, isolated_world)
    async with isolated_transaction() as session:
        fail = update(Message).values(state=MessageState.FAILED, last_error="Nobody is there.")
        await session.execute(fail)
    await run_twice(
        isolated_transaction,
        failed,
        lambda session, one: messages.retry_message(
            session, isolated_world.alice, isolated_world.worker, one.id
        ),
    )
    assert await count_events(isolated_transaction, EventType.MESSAGE_QUEUED) == 2 * ROUNDS


async def test_two_concurrent_workers_expire_a_message_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    await enqueue_many(isolated_transaction, isolated_world)

    async def expire() -> int:
        async with isolated_transaction() as session:
            return await messages.expire_undelivered(session, max_age=-messages.DELIVERY_TIMEOUT)

    counts = await asyncio.gather(*[expire() for _ in range(4)])
    assert sum(counts) == ROUNDS
    assert await count_events(isolated_transaction, EventType.MESSAGE_FAILED) == ROUNDS


async def test_messages_to_an_agent_deleted_meanwhile_are_omitted(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    outgoing = [
        messages.OutgoingMessage(to=agent, content="BOARD CHAT\nHello.")
        for agent in (isolated_world.worker, isolated_world.lead)
    ]

    async def enqueue() -> None:
        async with isolated_transaction() as session:
            await messages.enqueue_messages(session, outgoing)

    async with isolated_transaction() as session:
        await session.execute(delete(Agent).where(Agent.id == isolated_world.worker.id))
        writing = asyncio.create_task(enqueue())
        await wait_for_lock_waiter(isolated_transaction)
    await writing
    async with isolated_transaction() as session:
        assert list(await session.scalars(select(Message.agent_id))) == [isolated_world.lead.id]
