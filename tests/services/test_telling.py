"""What it costs the database to tell agents of a change: little, whoever is told."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from models import Actor, Status, Task
from services import boards, tasks
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


def _with_ids(world: World, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with the ids of agents instead of what they are called here."""
    return {
        name: getattr(world, value).id if name.endswith("_id") else value
        for name, value in fields.items()
    }
