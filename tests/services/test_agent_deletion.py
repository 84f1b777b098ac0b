"""Deletion of agents: their tasks are released, and only authorized callers delete."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from core.errors import Forbidden, NotFound
from models import Agent, DeletedTask, EventType, Status, Task
from services import agents, messages
from tests.support.agent_helpers import create_agent, list_agent_names, list_events
from tests.support.credentials import authenticate_agent
from tests.support.people_rows import token_secret


async def test_deletion_returns_tasks_to_the_inbox_and_records_it(session, world):
    begun = world.make_task("Begun", status=Status.IN_PROGRESS, assigned_agent_id=world.worker.id)
    begun.in_progress_at = begun.created_at
    waits = world.make_task("Waits", assigned_agent_id=world.worker.id)
    done = world.make_task("Done", status=Status.DONE, assigned_agent_id=world.worker.id)
    others = world.make_task(
        "Another's", status=Status.IN_PROGRESS, assigned_agent_id=world.other_worker.id
    )
    session.add_all([begun, waits, done, others])
    await session.flush()

    await agents.delete_agent(session, world.alice, world.worker.id)

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
    reported = [(event.type, event.task_id) for event in await list_events(session)]
    assert reported == [
        (EventType.TASK_STATUS_CHANGED, begun.id),
        (EventType.TASK_UPDATED, waits.id),
        (EventType.AGENT_DELETED, None),
    ]
    last = (await list_events(session))[-1]
    assert (last.agent_id, last.data["name"]) == (world.worker.id, "Worker")
    assert (await authenticate_agent(session, token_secret(world.worker))) is None


async def test_senders_learn_that_a_deleted_agent_did_not_get_their_messages(
    session, world
) -> None:
    sent = messages.OutgoingMessage(
        to=world.worker,
        content="NUDGE\nAre you there?",
        board=world.board,
        sender=world.lead,
        on_failed=EventType.NUDGE_FAILED,
        event_subject=world.lead,
    )
    read = messages.OutgoingMessage(to=world.worker, content="TASK ASSIGNED", board=world.board)
    _, read_id = await messages.enqueue_messages(session, [sent, read])
    await messages.acknowledge_message(session, world.worker, read_id)
    before = len(await list_events(session))

    await agents.delete_agent(session, world.alice, world.worker.id)

    recorded = (await list_events(session))[before:]
    assert [event.type for event in recorded] == [
        EventType.MESSAGE_FAILED,
        EventType.NUDGE_FAILED,
        EventType.AGENT_DELETED,
    ]
    assert recorded[1].agent_id == world.lead.id
    assert recorded[1].data["error"] == "The agent was deleted before it got this."


async def test_deleting_a_missing_agent_is_no_error(session, world) -> None:
    await agents.delete_agent(session, world.alice, uuid4())
    await agents.delete_agent(session, world.charlie, world.worker.id)
    await agents.delete_worker(session, world.lead, world.board, world.charlies_worker.id)
    await agents.delete_worker(session, world.lead, world.board, uuid4())
    assert await session.get(Agent, world.worker.id) is not None
    assert await list_events(session) == []


async def test_only_admins_with_write_access_delete_agents(session, world):
    for user in (world.bob, world.rita, world.dana):
        with pytest.raises(Forbidden):
            await agents.delete_agent(session, user, world.worker.id)
    assert await list_agent_names(session, world.board) == ["Lead", "Other worker", "Worker"]


async def test_a_lead_deletes_workers_of_its_own_board(session, world) -> None:
    for target, error in [(world.lead, Forbidden), (world.gardener, NotFound)]:
        with pytest.raises(error):
            await agents.delete_worker(session, world.lead, world.board, target.id)
    for board in (world.board, world.garden):
        with pytest.raises(Forbidden):
            await agents.delete_worker(session, world.worker, board, world.other_worker.id)
    await agents.delete_worker(session, world.lead, world.board, world.worker.id)
    assert await list_agent_names(session, world.board) == ["Lead", "Other worker"]


async def test_deleting_an_agent_during_its_call_does_not_deadlock(
    isolated_transaction, isolated_world
) -> None:
    """Both lock the agent's own row first and record events last."""

    async def call(agent_id):
        async with isolated_transaction() as session:
            agent = await session.get(Agent, agent_id)
            if agent is not None:
                await agents.touch_agent(session, agent)

    async def delete(agent_id):
        async with isolated_transaction() as session:
            await agents.delete_agent(session, isolated_world.alice, agent_id)

    for n in range(20):
        async with isolated_transaction() as session:
            agent, _ = await create_agent(
                session, isolated_world.alice, isolated_world.board, f"New {n}"
            )
        async with asyncio.timeout(20):
            await asyncio.gather(call(agent.id), delete(agent.id), call(agent.id))
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Agent)) == 5
        assert await session.scalar(select(func.count()).select_from(DeletedTask)) == 0
        assert await session.scalar(select(func.count()).select_from(Task)) == 0
