"""Agents go: what they had in hand is free, and nobody else is let go by it."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from kit.errors import Forbidden, NotFound
from models import Agent, EventType, Status, Task, Trash
from services import agents, identity
from tests.services.crew import create, events, names
from tests.world import token_of


async def test_work_in_progress_goes_back_to_the_inbox_and_it_is_told(session, world):
    begun = world.task("Begun", status=Status.IN_PROGRESS, assigned_agent_id=world.worker.id)
    begun.in_progress_at = begun.created_at
    waits = world.task("Waits", assigned_agent_id=world.worker.id)
    done = world.task("Done", status=Status.DONE, assigned_agent_id=world.worker.id)
    others = world.task(
        "Another's", status=Status.IN_PROGRESS, assigned_agent_id=world.other_worker.id
    )
    session.add_all([begun, waits, done, others])
    await session.flush()

    await agents.delete(session, world.alice, world.worker.id)

    assert await session.get(Agent, world.worker.id) is None
    for task in (begun, waits, done, others):
        await session.refresh(task)
    assert (begun.status, begun.assigned_agent_id, begun.in_progress_at) == (
        Status.INBOX,
        None,
        None,
    )
    assert waits.assigned_agent_id is done.assigned_agent_id is None
    assert (done.status, others.status) == (Status.DONE, Status.IN_PROGRESS)
    told = [(event.type, event.task_id) for event in await events(session)]
    assert told == [
        (EventType.TASK_STATUS_CHANGED, begun.id),
        (EventType.TASK_UPDATED, waits.id),
        (EventType.AGENT_DELETED, None),
    ]
    last = (await events(session))[-1]
    assert (last.agent_id, last.data["name"]) == (world.worker.id, "Worker")
    assert (await identity.agent_with_token(session, token_of(world.worker))) is None


async def test_one_that_is_not_there_is_no_trouble(session, world) -> None:
    await agents.delete(session, world.alice, uuid4())
    await agents.delete(session, world.charlie, world.worker.id)
    await agents.let_go(session, world.lead, world.board, world.charlies_worker.id)
    await agents.let_go(session, world.lead, world.board, uuid4())
    assert await session.get(Agent, world.worker.id) is not None
    assert await events(session) == []


async def test_members_and_admins_without_the_board_delete_nothing(session, world):
    for user in (world.bob, world.rita, world.dana):
        with pytest.raises(Forbidden):
            await agents.delete(session, user, world.worker.id)
    assert await names(session, world.board) == ["Lead", "Other worker", "Worker"]


async def test_a_lead_lets_workers_of_its_own_board_go(session, world) -> None:
    for target, refusal in [(world.lead, Forbidden), (world.gardener, NotFound)]:
        with pytest.raises(refusal):
            await agents.let_go(session, world.lead, world.board, target.id)
    for board in (world.board, world.garden):
        with pytest.raises(Forbidden):
            await agents.let_go(session, world.worker, board, world.other_worker.id)
    await agents.let_go(session, world.lead, world.board, world.worker.id)
    assert await names(session, world.board) == ["Lead", "Other worker"]


async def test_an_agent_that_is_deleted_while_it_calls_blocks_nobody(
    real_transaction, real_world
) -> None:
    """Whoever calls holds its own row first and the events last, as whoever deletes does."""

    async def call(agent_id):
        async with real_transaction() as session:
            agent = await session.get(Agent, agent_id)
            if agent is not None:
                await agents.touch(session, agent)

    async def delete(agent_id):
        async with real_transaction() as session:
            await agents.delete(session, real_world.alice, agent_id)

    for n in range(20):
        async with real_transaction() as session:
            agent, _ = await create(session, real_world.alice, real_world.board, f"New {n}")
        async with asyncio.timeout(20):
            await asyncio.gather(call(agent.id), delete(agent.id), call(agent.id))
    async with real_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Agent)) == 5
        assert await session.scalar(select(func.count()).select_from(Trash)) == 0
        assert await session.scalar(select(func.count()).select_from(Task)) == 0
