"""A board at a glance."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import ApprovalStatus, Board, Note, Status
from services import boards, snapshots
from tests.remembering import a_note
from tests.world import World, a_task


@pytest.fixture(autouse=True)
async def at_hand(session: AsyncSession, world: World) -> None:
    """Let the session know the world, so that new rows can be hung on it."""
    session.add_all(vars(world).values())


def made(row: Any, **fields: Any) -> Any:
    """Return a row with other fields."""
    for name, value in fields.items():
        setattr(row, name, value)
    return row


def said(board: Board, content: str, age: int = 0, *, is_chat: bool = True) -> Note:
    """Make a note that was written so many minutes ago."""
    at = now() - timedelta(minutes=age)
    return a_note(board, content, is_chat=is_chat, created_at=at)


async def test_a_snapshot_shows_all_that_is_on_a_board(session: AsyncSession, world: World) -> None:
    yesterday = now() - timedelta(days=1)
    old = made(world.task("Old", assignee=world.worker), created_at=yesterday)
    new = world.task("New", status=Status.DONE)
    foreign = [
        a_task(world.garden, "Dig"),
        a_task(world.charlies_board, "Foreign"),
        said(world.garden, "dug"),
    ]
    asked = world.approval(old)
    settled = world.approval(status=ApprovalStatus.APPROVED, created_at=yesterday)
    session.add_all([old, new, *foreign, *asked, *settled])
    session.add_all([said(world.board, "second", 1), said(world.board, "first", 2)])
    session.add_all([said(world.board, " \n"), said(world.board, "a plan", is_chat=False)])
    await session.flush()
    found = await snapshots.snapshot(session, await boards.get(session, world.rita, world.board.id))
    assert found.board.id == world.board.id
    assert [one.task.title for one in found.tasks] == ["New", "Old"]
    (card,) = [one for one in found.tasks if one.task.title == "Old"]
    assert card.assignee is not None
    assert card.assignee.name == "Worker"
    assert (card.approvals_count, card.approvals_pending_count) == (1, 1)
    assert card.custom_field_values == {}
    assert [agent.name for agent in found.agents] == ["Other worker", "Worker", "Lead"]
    assert [one.approval.id for one in found.approvals] == [asked[0].id, settled[0].id]
    assert [one.note.content for one in found.chat_messages] == ["first", "second"]
    assert found.pending_approvals_count == 1


async def test_a_snapshot_has_all_tasks_and_the_newest_of_the_rest(
    session: AsyncSession, world: World
) -> None:
    session.add_all([world.task(f"Task {n}") for n in range(205)])
    session.add_all([row for _ in range(205) for row in world.approval()])
    session.add_all([said(world.board, f"{age} ago", age) for age in range(205)])
    await session.flush()
    found = await snapshots.snapshot(session, await boards.get(session, world.lead, world.board.id))
    assert len(found.tasks) == 205
    assert len(found.approvals) == 200
    assert found.pending_approvals_count == 205
    assert len(found.chat_messages) == 200
    oldest, newest = found.chat_messages[0].note, found.chat_messages[-1].note
    assert (oldest.content, newest.content) == (
        "199 ago",
        "0 ago",
    )


async def test_nothing_is_seen_of_a_board_on_which_nothing_is(
    session: AsyncSession, world: World
) -> None:
    board = await boards.get(session, world.alice, world.garden.id)
    await session.delete(world.gardener)
    await session.flush()
    found = await snapshots.snapshot(session, board)
    seen = (found.tasks, found.agents, found.approvals, found.chat_messages)
    assert (seen, found.pending_approvals_count) == (([], [], [], []), 0)


async def test_a_snapshot_costs_the_same_however_much_there_is(
    session: AsyncSession, world: World
) -> None:
    board = await boards.get(session, world.alice, world.board.id)
    statements: list[str] = []
    connection = (await session.connection()).sync_connection
    event.listen(connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
    session.add_all([world.task(f"Task {n}") for n in range(50)])
    session.add_all([row for _ in range(50) for row in world.approval()])
    await session.flush()
    statements.clear()
    await snapshots.snapshot(session, board)
    assert len(statements) == 1
