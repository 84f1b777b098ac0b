"""Two who do the same with a message at the same time, with real commits."""

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Event, EventType, Message, MessageState
from services import messages
from tests.conftest import Transaction
from tests.race.waiting import somebody_waits
from tests.world import World

ROUNDS = 100
TOLD = EventType.TASK_ASSIGNEE_NOTIFIED

Deed = Callable[[AsyncSession, Message], Awaitable[object]]


async def some_messages(transaction: Transaction, world: World) -> list[Message]:
    drafts = [
        messages.Draft(to=world.worker, content="TASK ASSIGNED\nDo it.", told=TOLD)
        for _ in range(ROUNDS)
    ]
    async with transaction() as session:
        await messages.queue(session, drafts)
        return list(await session.scalars(select(Message)))


async def twice(transaction: Transaction, message: Message, deed: Deed) -> None:
    async def once() -> None:
        async with transaction() as session:
            await deed(session, message)

    await asyncio.gather(once(), once())


async def times(transaction: Transaction, type: EventType) -> int:
    async with transaction() as session:
        count = select(func.count()).select_from(Event).where(Event.type == type)
        return await session.scalar(count) or 0


async def test_a_message_that_is_taken_twice_at_once_was_told_once(
    real_transaction: Transaction, real_world: World
) -> None:
    for message in await some_messages(real_transaction, real_world):
        await twice(
            real_transaction,
            message,
            lambda session, one: messages.acknowledge(session, real_world.worker, one.id),
        )
    assert await times(real_transaction, EventType.MESSAGE_ACKNOWLEDGED) == ROUNDS
    assert await times(real_transaction, TOLD) == ROUNDS


async def test_a_message_that_is_sent_again_twice_at_once_waits_once_more(
    real_transaction: Transaction, real_world: World
) -> None:
    failed = await some_messages(real_transaction, real_world)
    async with real_transaction() as session:
        fail = update(Message).values(state=MessageState.FAILED, last_error="Nobody is there.")
        await session.execute(fail)
    for message in failed:
        await twice(
            real_transaction,
            message,
            lambda session, one: messages.retry(
                session, real_world.alice, real_world.worker, one.id
            ),
        )
    assert await times(real_transaction, EventType.MESSAGE_QUEUED) == 2 * ROUNDS


async def test_two_workers_give_a_message_up_once(
    real_transaction: Transaction, real_world: World
) -> None:
    await some_messages(real_transaction, real_world)

    async def give_up() -> int:
        async with real_transaction() as session:
            return await messages.give_up(session, patience=-messages.PATIENCE)

    found = await asyncio.gather(*[give_up() for _ in range(4)])
    assert sum(found) == ROUNDS
    assert await times(real_transaction, EventType.MESSAGE_FAILED) == ROUNDS


async def test_an_agent_that_goes_while_it_is_written_to_is_passed_over(
    real_transaction: Transaction, real_world: World
) -> None:
    drafts = [
        messages.Draft(to=agent, content="BOARD CHAT\nHello.")
        for agent in (real_world.worker, real_world.lead)
    ]

    async def write() -> None:
        async with real_transaction() as session:
            await messages.queue(session, drafts)

    async with real_transaction() as session:
        await session.execute(delete(Agent).where(Agent.id == real_world.worker.id))
        writing = asyncio.create_task(write())
        await somebody_waits(real_transaction)
    await writing
    async with real_transaction() as session:
        assert list(await session.scalars(select(Message.agent_id))) == [real_world.lead.id]
