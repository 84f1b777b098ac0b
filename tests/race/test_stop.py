"""A stop of all agents, and a pause of one, against the delivery of messages, with real commits."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select, update

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import Conflict
from models import Agent, Message, MessageState, Organization, Task
from services import agents, boards, organizations, tasks
from services.messages import gateway_delivery
from tests.support.delivery_gateway import DeliveryGateway, run_delivery_gateway
from tests.support.rounds import ROUNDS_FOR_ALL_OUTCOMES
from tests.support.world import World

DELAYS = (0, 60, 3, 6)
"""Statements before one of two transactions; the other has the mirrored one.

60 are more than either of them executes: each of the two is first in some rounds, also on a busy
machine.
"""


@pytest.fixture
async def delivery(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> AsyncIterator[DeliveryGateway]:
    async with run_delivery_gateway(isolated_transaction, isolated_world) as delivery:
        yield delivery


async def let_others_run(transaction: TransactionFactory, statements: int) -> None:
    """Wait as long as so many statements take."""
    async with transaction() as session:
        for _ in range(statements):
            await session.execute(select(1))


async def reset(delivery: DeliveryGateway) -> None:
    """Resume the agents, and queue the only message again."""
    async with delivery.transaction() as session:
        await session.execute(update(Organization).values(stopped_at=None))
        fresh = {"attempts": 0, "next_attempt_at": None, "state": MessageState.QUEUED}
        await session.execute(update(Message).values(fresh))


async def count_attempts(delivery: DeliveryGateway) -> int:
    async with delivery.transaction() as session:
        return (await session.scalars(select(Message.attempts))).one()


async def test_no_message_is_claimed_after_a_stop_has_committed(delivery: DeliveryGateway) -> None:
    await delivery.enqueue("BOARD CHAT\nHi.")
    agent_id, gateway_id = delivery.world.worker.id, delivery.gateway.id

    async def claim(delay: int) -> None:
        await let_others_run(delivery.transaction, delay)
        async with delivery.transaction() as session:
            await gateway_delivery.claim_next(session, gateway_id, agent_id, now())

    async def stop(delay: int) -> int:
        """Stop the organization as `stop_agents` does; return the attempts after the commit."""
        await let_others_run(delivery.transaction, delay)
        async with delivery.transaction() as session:
            query = select(Organization).where(Organization.id == delivery.world.tern.id)
            organization = (await session.scalars(query.with_for_update(key_share=True))).one()
            organization.stopped_at = now()
        return await count_attempts(delivery)

    outcomes = set()
    for round in range(ROUNDS_FOR_ALL_OUTCOMES):
        await reset(delivery)
        delays = DELAYS[round % 4], DELAYS[-round % 4]
        claimed, at_stop = await asyncio.gather(claim(delays[0]), stop(delays[1]))
        assert claimed is None
        assert await count_attempts(delivery) == at_stop, round
        outcomes.add(at_stop)
    assert outcomes == {0, 1}  # each of them was first at times


async def pause(delivery: DeliveryGateway, delay: int) -> int:
    """Pause the worker; return the attempts after the commit."""
    await let_others_run(delivery.transaction, delay)
    async with delivery.transaction() as session:
        await agents.pause_agent(session, delivery.world.alice_member, delivery.world.worker.id)
    return await count_attempts(delivery)


async def test_no_message_is_claimed_after_the_pause_of_its_agent(
    delivery: DeliveryGateway,
) -> None:
    await delivery.enqueue("BOARD CHAT\nHi.")
    agent_id, gateway_id = delivery.world.worker.id, delivery.gateway.id

    async def claim(delay: int) -> None:
        await let_others_run(delivery.transaction, delay)
        async with delivery.transaction() as session:
            await gateway_delivery.claim_next(session, gateway_id, agent_id, now())
            await session.execute(select(func.pg_sleep(0.01)))  # the commit is late

    outcomes = set()
    for round in range(ROUNDS_FOR_ALL_OUTCOMES):
        await reset(delivery)
        await delivery.update_row(delivery.world.worker, held_at=None, hold=None, step=None)
        delays = DELAYS[round % 4], DELAYS[-round % 4]
        _, at_pause = await asyncio.gather(claim(delays[0]), pause(delivery, delays[1]))
        assert await count_attempts(delivery) == at_pause, round
        outcomes.add(at_pause)
    assert outcomes == {0, 1}  # each of them was first at times


async def test_no_task_is_taken_after_the_pause_of_its_agent(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world
    task = world.make_task("Count")
    async with isolated_transaction() as session:
        session.add(task)

    async def take(delay: int) -> None:
        await let_others_run(isolated_transaction, delay)
        async with isolated_transaction() as session:
            board = await boards.lock_board(session, world.worker, world.board.id)
            changes = {"status": "in_progress"}
            await tasks.update_task(
                session, world.worker, board, task.id, tasks.TaskUpdate.of(**changes)
            )

    async def pause(delay: int) -> str:
        await let_others_run(isolated_transaction, delay)
        async with isolated_transaction() as session:
            await agents.pause_agent(session, world.alice_member, world.worker.id)
        return await read_status()

    async def read_status() -> str:
        async with isolated_transaction() as session:
            return (await session.get_one(Task, task.id)).status

    outcomes = set()
    for round in range(ROUNDS_FOR_ALL_OUTCOMES):
        async with isolated_transaction() as session:
            await session.execute(update(Agent).values(held_at=None, hold=None))
            fresh = {"status": "inbox", "assigned_agent_id": None, "in_progress_at": None}
            await session.execute(update(Task).values(fresh))
        took, at_pause = await asyncio.gather(
            take(DELAYS[round % 4]), pause(DELAYS[-round % 4]), return_exceptions=True
        )
        assert not isinstance(at_pause, BaseException), at_pause
        assert took is None or isinstance(took, Conflict), took
        assert await read_status() == at_pause, round
        outcomes.add(at_pause)
    assert outcomes == {"inbox", "in_progress"}


async def test_no_task_is_taken_after_a_stop_has_committed(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world
    task = world.make_task("Count")
    async with isolated_transaction() as session:
        session.add(task)

    async def claim(delay: int) -> None:
        await let_others_run(isolated_transaction, delay)
        async with isolated_transaction() as session:
            board = await boards.lock_board(session, world.worker, world.board.id)
            changes = {"status": "in_progress"}
            await tasks.update_task(
                session, world.worker, board, task.id, tasks.TaskUpdate.of(**changes)
            )

    async def stop(delay: int) -> str:
        await let_others_run(isolated_transaction, delay)
        async with isolated_transaction() as session:
            await organizations.stop_all_agents(session, organizations.AgentStopCreate(), name=None)
        return await read_status()

    async def read_status() -> str:
        async with isolated_transaction() as session:
            return (await session.get_one(Task, task.id)).status

    outcomes = set()
    for round in range(ROUNDS_FOR_ALL_OUTCOMES):
        async with isolated_transaction() as session:
            await session.execute(update(Organization).values(stopped_at=None))
            fresh = {"status": "inbox", "assigned_agent_id": None, "in_progress_at": None}
            await session.execute(update(Task).values(fresh))
        _, at_stop = await asyncio.gather(
            claim(DELAYS[round % 4]), stop(DELAYS[-round % 4]), return_exceptions=True
        )
        assert await read_status() == at_stop, round
        outcomes.add(at_stop)
    assert outcomes == {"inbox", "in_progress"}


async def test_held_messages_are_sent_in_order_after_a_resume(delivery: DeliveryGateway) -> None:
    contents = [f"BOARD CHAT\n{number}" for number in range(12)]
    async with delivery.transaction() as session:
        await organizations.stop_all_agents(
            session, organizations.AgentStopCreate(reason="A test"), name="Tern"
        )
    await delivery.update_row(delivery.world.worker, step=None)  # no reconciler is running
    await delivery.enqueue(*contents)
    async with delivery.run_worker():
        await delivery.enqueue("BOARD CHAT\nFor another agent.", to=delivery.world.charlies_worker)
        async with delivery.transaction() as session:
            claimed = await gateway_delivery.claim_next(
                session, delivery.gateway.id, delivery.world.worker.id, now()
            )
        assert claimed is None
        assert delivery.sent_run_ids == []
        async with delivery.transaction() as session:
            assert await organizations.resume_all_agents(session, name=None) == ["Tern"]
        await delivery.update_row(delivery.world.worker, step=None)
        await delivery.wait_for_states(*[MessageState.ACKNOWLEDGED] * len(contents))
    assert delivery.fake.received_messages == contents
