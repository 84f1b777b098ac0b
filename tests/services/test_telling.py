"""Telling agents of a change: when it is done, and what it costs the database."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Actor, Approval, ApprovalStatus, Message, Status, Task
from services import approvals, boards, tasks
from tests.world import World

MOST = 7  # statements in a write; one more finds out who calls


@contextmanager
def counting(session: AsyncSession) -> Generator[list[str]]:
    """Collect the statements that are sent meanwhile."""
    connection = session.get_bind()
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith("SAVEPOINT"):
            sent.append(statement)

    event.listen(connection, "before_cursor_execute", note)
    yield sent
    event.remove(connection, "before_cursor_execute", note)


async def a_task(session: AsyncSession, world: World, **fields: Any) -> Task:
    task = world.task(**fields)
    session.add(task)
    await session.flush()
    return task


CASES: Mapping[str, tuple[str, dict[str, Any], dict[str, Any], int]] = {
    "a worker takes a task": ("worker", {}, {"status": "in_progress"}, 0),
    "a worker gives a task back": (
        "worker",
        {"status": Status.IN_PROGRESS, "assigned_agent_id": "worker"},
        {"status": "inbox"},
        1,
    ),
    "a worker is done": (
        "worker",
        {"status": Status.IN_PROGRESS, "assigned_agent_id": "worker"},
        {"status": "review"},
        1,
    ),
    "a lead hands out": ("lead", {}, {"assigned_agent_id": "worker"}, 1),
    "a lead starts somebody": (
        "lead",
        {},
        {"assigned_agent_id": "worker", "status": "in_progress"},
        1,
    ),
    "a lead sends back": (
        "lead",
        {"status": Status.REVIEW, "previous_assignee_id": "worker"},
        {"status": "inbox"},
        1,
    ),
    "a person hands out": ("alice", {}, {"assigned_agent_id": "worker"}, 1),
    "a person says something with it": (
        "alice",
        {"assigned_agent_id": "worker"},
        {"title": "Another", "comment": "Look at this."},
        1,
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_change_that_agents_are_told_of_is_a_few_statements(
    session: AsyncSession, world: World, case: str
) -> None:
    """P4."""
    who, fields, changes, told = CASES[case]
    actor: Actor = getattr(world, who)
    task = await a_task(session, world, **_with_ids(world, fields))
    with counting(session) as sent:
        board = await boards.hold(session, actor, world.board.id)
        await tasks.change(session, actor, board, task.id, _with_ids(world, changes))
    assert len(sent) <= MOST, [statement[:60] for statement in sent]
    assert sum("INTO agent_messages" in one for one in sent) == told


@pytest.mark.parametrize("words", ["How far?", "@lead and @other, how far?"])
async def test_a_comment_is_a_few_statements_however_many_it_calls(
    session: AsyncSession, world: World, words: str
) -> None:
    task = await a_task(session, world, assigned_agent_id=world.worker.id)
    for actor in (world.alice, world.other_worker):
        with counting(session) as sent:
            board = await boards.hold(session, actor, world.board.id)
            await tasks.comment(session, actor, board, task.id, words)
        assert len(sent) <= MOST, [statement[:60] for statement in sent]


async def test_a_new_task_is_a_few_statements(session: AsyncSession, world: World) -> None:
    draft = tasks.TaskDraft(title="Write", assigned_agent_id=world.worker.id)
    for actor in (world.alice, world.lead):
        with counting(session) as sent:
            board = await boards.hold(session, actor, world.board.id)
            await tasks.create(session, actor, board, draft)
        assert len(sent) <= MOST, [statement[:60] for statement in sent]


async def test_the_lead_hears_of_an_answer_once_it_counts(
    session: AsyncSession, world: World
) -> None:
    """An answer that was taken back in time was never given; the worker settles the others."""
    task = await a_task(session, world)
    for _ in range(2):
        session.add_all(world.approval(task))
    await session.flush()
    kept, undone = [approval.id for approval in await session.scalars(select(Approval))]
    approved = ApprovalStatus.APPROVED
    for id in (kept, undone):
        await approvals.answer(session, world.alice, id, status=approved, undo_seconds=60)
    await approvals.undo(session, world.alice, undone)
    assert await told(session) == []
    due = update(Approval).where(Approval.id == kept).values(settles_at=now())
    await session.execute(due)
    for _ in range(2):
        await approvals.settle_due(session)
    assert await told(session) == [(world.lead.id, kept)]


async def told(session: AsyncSession) -> list[tuple[UUID, UUID | None]]:
    """Return who was told of which approval."""
    rows = await session.execute(select(Message.agent_id, Message.approval_id))
    return [(agent_id, approval_id) for agent_id, approval_id in rows]


def _with_ids(world: World, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with the ids of agents instead of what they are called here."""
    return {
        name: getattr(world, value).id if name.endswith("_id") else value
        for name, value in fields.items()
    }
