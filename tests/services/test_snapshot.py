"""Snapshots of boards."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import ApprovalStatus, Board, Note, Status
from services import boards, snapshots
from tests.support.board_rows import make_task
from tests.support.memory_rows import make_note
from tests.support.statement_counter import count_statements
from tests.support.world import World


@pytest.fixture(autouse=True)
async def attach_world(session: AsyncSession, world: World) -> None:
    """Add the world to the session, so that new rows can refer to it."""
    session.add_all(vars(world).values())


def with_fields(row: Any, **fields: Any) -> Any:
    """Set fields of a row and return it."""
    for name, value in fields.items():
        setattr(row, name, value)
    return row


def make_chat_note(board: Board, content: str, age: int = 0, *, is_chat: bool = True) -> Note:
    """Make a note that is `age` minutes old."""
    at = now() - timedelta(minutes=age)
    return make_note(board, content, is_chat=is_chat, created_at=at)


async def test_snapshot_contains_everything_on_the_board(
    session: AsyncSession, world: World
) -> None:
    yesterday = now() - timedelta(days=1)
    old = with_fields(world.make_task("Old", assignee=world.worker), created_at=yesterday)
    new = world.make_task("New", status=Status.DONE)
    others = [
        make_task(world.garden, "Dig"),
        make_task(world.charlies_board, "Foreign"),
        make_chat_note(world.garden, "dug"),
    ]
    pending = world.make_approval(old)
    decided = world.make_approval(status=ApprovalStatus.APPROVED, created_at=yesterday)
    session.add_all([old, new, *others, *pending, *decided])
    session.add_all(
        [make_chat_note(world.board, "second", 1), make_chat_note(world.board, "first", 2)]
    )
    session.add_all(
        [make_chat_note(world.board, " \n"), make_chat_note(world.board, "a plan", is_chat=False)]
    )
    await session.flush()
    found = await snapshots.load_board_snapshot(
        session, await boards.get_board(session, world.rita, world.board.id)
    )
    assert found.board.id == world.board.id
    assert [one.title for one in found.tasks] == ["New", "Old"]
    (card,) = [one for one in found.tasks if one.title == "Old"]
    assert card.assignee == "Worker"
    assert card.approval_counts == (1, 1)
    assert card.custom_field_values is None
    assert [agent.name for agent in found.agents] == ["Other worker", "Worker", "Lead"]
    assert [one.approval.id for one in found.approvals] == [pending[0].id, decided[0].id]
    assert [one.note.content for one in found.chat_messages] == ["first", "second"]
    assert found.pending_approvals_count == 1


async def test_snapshot_limits_approvals_and_messages_but_not_tasks(
    session: AsyncSession, world: World
) -> None:
    session.add_all([world.make_task(f"Task {n}") for n in range(205)])
    session.add_all([row for _ in range(205) for row in world.make_approval()])
    session.add_all([make_chat_note(world.board, f"{age} ago", age) for age in range(205)])
    await session.flush()
    found = await snapshots.load_board_snapshot(
        session, await boards.get_board(session, world.lead, world.board.id)
    )
    assert len(found.tasks) == 205
    assert len(found.approvals) == 200
    assert found.pending_approvals_count == 205
    assert len(found.chat_messages) == 200
    oldest, newest = found.chat_messages[0].note, found.chat_messages[-1].note
    assert (oldest.content, newest.content) == (
        "199 ago",
        "0 ago",
    )


async def test_snapshot_of_an_empty_board_is_empty(session: AsyncSession, world: World) -> None:
    board = await boards.get_board(session, world.alice, world.garden.id)
    await session.delete(world.gardener)
    await session.flush()
    found = await snapshots.load_board_snapshot(session, board)
    contents = (found.tasks, found.agents, found.approvals, found.chat_messages)
    assert (contents, found.pending_approvals_count) == (([], [], [], []), 0)


async def test_snapshot_takes_one_statement(session: AsyncSession, world: World) -> None:
    board = await boards.get_board(session, world.alice, world.board.id)
    session.add_all([world.make_task(f"Task {n}") for n in range(50)])
    session.add_all([row for _ in range(50) for row in world.make_approval()])
    await session.flush()
    with count_statements(await session.connection()) as statements:
        await snapshots.load_board_snapshot(session, board)
    assert len(statements) == 1
