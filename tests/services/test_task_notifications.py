"""Notifications about task changes: when they are sent, and how many statements they take."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import Actor, Approval, ApprovalStatus, Message, Status, Task
from services import approvals, boards, tasks
from tests.support.statement_counter import count_statements
from tests.support.world import World

MAX_STATEMENTS = 10  # of a change; one more identifies the caller


async def add_task(session: AsyncSession, world: World, **fields: Any) -> Task:
    task = world.make_task(**fields)
    session.add(task)
    await session.flush()
    return task


CASES: Mapping[str, tuple[str, dict[str, Any], dict[str, Any], int]] = {
    "a worker takes a task": ("worker", {}, {"status": "in_progress"}, 0),
    "a worker returns a task": (
        "worker",
        {"status": Status.IN_PROGRESS, "assigned_agent_id": "worker"},
        {"status": "inbox"},
        1,
    ),
    "a worker finishes a task": (
        "worker",
        {"status": Status.IN_PROGRESS, "assigned_agent_id": "worker"},
        {"status": "review"},
        1,
    ),
    "a lead assigns": ("lead", {}, {"assigned_agent_id": "worker"}, 1),
    "a lead assigns and starts": (
        "lead",
        {},
        {"assigned_agent_id": "worker", "status": "in_progress"},
        1,
    ),
    "a lead returns a task": (
        "lead",
        {"status": Status.REVIEW, "previous_assignee_id": "worker"},
        {"status": "inbox"},
        1,
    ),
    "a user assigns": ("alice", {}, {"assigned_agent_id": "worker"}, 1),
    "a user changes and comments": (
        "alice",
        {"assigned_agent_id": "worker"},
        {"title": "Another", "comment": "Look at this."},
        1,
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_change_with_notifications_takes_few_statements(
    session: AsyncSession, world: World, case: str
) -> None:
    """P4."""
    actor_name, fields, changes, message_count = CASES[case]
    actor: Actor = getattr(world, actor_name)
    task = await add_task(session, world, **_with_ids(world, fields))
    with count_statements(await session.connection()) as sent:
        board = await boards.lock_board(session, actor, world.board.id)
        await tasks.update_task(
            session, actor, board, task.id, tasks.TaskUpdate.of(**_with_ids(world, changes))
        )
    assert len(sent) <= MAX_STATEMENTS, [statement[:60] for statement in sent]
    assert sum("INTO agent_messages" in one for one in sent) == message_count


@pytest.mark.parametrize("words", ["How far?", "@lead and @other, how far?"])
async def test_a_comment_with_many_mentions_takes_few_statements(
    session: AsyncSession, world: World, words: str
) -> None:
    task = await add_task(session, world, assigned_agent_id=world.worker.id)
    for actor in (world.alice, world.other_worker):
        with count_statements(await session.connection()) as sent:
            board = await boards.lock_board(session, actor, world.board.id)
            await tasks.create_comment(session, actor, board, task.id, words)
        # One more finds the people who are mentioned.
        assert len(sent) <= MAX_STATEMENTS + 1, [statement[:60] for statement in sent]


async def test_a_new_task_takes_few_statements(session: AsyncSession, world: World) -> None:
    draft = tasks.TaskCreate(title="Write", assigned_agent_id=world.worker.id)
    for actor in (world.alice, world.lead):
        with count_statements(await session.connection()) as sent:
            board = await boards.lock_board(session, actor, world.board.id)
            await tasks.create_task(session, actor, board, draft)
        assert len(sent) <= MAX_STATEMENTS, [statement[:60] for statement in sent]


async def test_the_lead_is_notified_of_a_decision_once_it_is_final(
    session: AsyncSession, world: World
) -> None:
    """A decision that is undone in time has no effect; the worker finalizes the others."""
    task = await add_task(session, world)
    for _ in range(2):
        session.add_all(world.make_approval(task))
    await session.flush()
    kept, undone = [approval.id for approval in await session.scalars(select(Approval))]
    approved = ApprovalStatus.APPROVED
    for id in (kept, undone):
        await approvals.decide_with_undo(session, world.alice, id, status=approved, undo_seconds=60)
    await approvals.undo_decision(session, world.alice, undone)
    assert await list_notified(session) == []
    due = update(Approval).where(Approval.id == kept).values(finalizes_at=now())
    await session.execute(due)
    for _ in range(2):
        await approvals.finalize_due_approvals(session)
    assert await list_notified(session) == [(world.lead.id, kept)]


async def list_notified(session: AsyncSession) -> list[tuple[UUID, UUID | None]]:
    """Return the recipient and the approval of each message."""
    rows = await session.execute(select(Message.agent_id, Message.approval_id))
    return [(agent_id, approval_id) for agent_id, approval_id in rows]


def _with_ids(world: World, fields: dict[str, Any]) -> dict[str, Any]:
    """Replace the names of agents in fields by their ids."""
    return {
        name: getattr(world, value).id if name.endswith("_id") else value
        for name, value in fields.items()
    }
