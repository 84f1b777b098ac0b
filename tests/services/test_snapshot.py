"""A board at a glance, and the boards beside it."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import (
    Actor,
    ApprovalStatus,
    Board,
    BoardGroup,
    Note,
    Status,
    Tag,
    TagAssignment,
    Task,
)
from services import boards, snapshots
from services.snapshots import BoardGlance
from tests.world import World, a_board, a_task


@pytest.fixture(autouse=True)
async def at_hand(session: AsyncSession, world: World) -> None:
    """Let the session know the world, so that new rows can be hung on it."""
    session.add_all(vars(world).values())


def made(row: Any, **fields: Any) -> Any:
    """Return a row with other fields."""
    for name, value in fields.items():
        setattr(row, name, value)
    return row


def a_note(board: Board, content: str, age: int = 0, *, is_chat: bool = True) -> Note:
    said_at = now() - timedelta(minutes=age)
    return Note(
        board_id=board.id, content=content, is_chat=is_chat, created_at=said_at, updated_at=said_at
    )


async def grouped(session: AsyncSession, world: World, *some: Board) -> BoardGroup:
    """Put boards into one group."""
    group = BoardGroup(
        organization_id=world.tern.id,
        name="Birds",
        slug="birds",
        created_at=now(),
        updated_at=now(),
    )
    session.add(group)
    await session.flush()
    ids = [board.id for board in some]
    await session.execute(update(Board).where(Board.id.in_(ids)).values(board_group_id=group.id))
    return group


async def beside(
    session: AsyncSession, actor: Actor, board: Board, **how: Any
) -> dict[str, BoardGlance]:
    """Return what an actor sees of the group that a board is in, by the boards' names."""
    held = await boards.get(session, actor, board.id)
    await session.refresh(held)
    found = await snapshots.group_snapshot(session, actor, held, **how)
    return {glance.board.name: glance for glance in found.boards}


async def tagged(session: AsyncSession, world: World, task: Task, *names: str) -> None:
    for position, name in enumerate(names):
        tag = Tag(
            organization_id=world.tern.id,
            name=name,
            slug=name,
            created_at=now(),
            updated_at=now(),
        )
        on = TagAssignment(task_id=task.id, tag=tag, position=position, created_at=now())
        session.add_all([tag, on])
    await session.flush()


async def test_a_snapshot_shows_all_that_is_on_a_board(session: AsyncSession, world: World) -> None:
    yesterday = now() - timedelta(days=1)
    old = made(world.task("Old", assignee=world.worker), created_at=yesterday)
    new = world.task("New", status=Status.DONE)
    foreign = [
        a_task(world.garden, "Dig"),
        a_task(world.charlies_board, "Foreign"),
        a_note(world.garden, "dug"),
    ]
    asked = world.approval(old)
    settled = world.approval(status=ApprovalStatus.APPROVED, created_at=yesterday)
    session.add_all([old, new, *foreign, *asked, *settled])
    session.add_all([a_note(world.board, "second", 1), a_note(world.board, "first", 2)])
    session.add_all([a_note(world.board, " \n"), a_note(world.board, "a plan", is_chat=False)])
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
    assert [note.content for note in found.chat_messages] == ["first", "second"]
    assert found.pending_approvals_count == 1


async def test_a_snapshot_has_all_tasks_and_the_newest_of_the_rest(
    session: AsyncSession, world: World
) -> None:
    session.add_all([world.task(f"Task {n}") for n in range(205)])
    session.add_all([row for _ in range(205) for row in world.approval()])
    session.add_all([a_note(world.board, f"{age} ago", age) for age in range(205)])
    await session.flush()
    found = await snapshots.snapshot(session, await boards.get(session, world.lead, world.board.id))
    assert len(found.tasks) == 205
    assert len(found.approvals) == 200
    assert found.pending_approvals_count == 205
    assert len(found.chat_messages) == 200
    assert (found.chat_messages[0].content, found.chat_messages[-1].content) == (
        "199 ago",
        "0 ago",
    )


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
    assert len(statements) <= 6


async def test_a_board_without_a_group_has_none_beside_it(
    session: AsyncSession, world: World
) -> None:
    board = await boards.get(session, world.alice, world.board.id)
    found = await snapshots.group_snapshot(session, world.alice, board)
    assert (found.group, found.boards) == (None, [])


async def test_people_see_of_a_group_what_they_read_and_agents_see_all(
    session: AsyncSession, world: World
) -> None:
    group = await grouped(session, world, world.board, world.garden)
    assert list(await beside(session, world.alice, world.board)) == ["Garden"]
    assert list(await beside(session, world.worker, world.board)) == ["Garden"]
    assert list(await beside(session, world.bob, world.board)) == []
    assert list(await beside(session, world.bob, world.board, include_self=True)) == ["Launch"]
    board = await boards.get(session, world.bob, world.board.id)
    found = await snapshots.group_snapshot(session, world.bob, board)
    assert found.group is not None
    assert found.group.id == group.id


async def test_the_boards_of_a_group_come_by_name(session: AsyncSession, world: World) -> None:
    aviary = a_board("aviary", world.tern)
    session.add(aviary)
    await session.flush()
    await grouped(session, world, world.board, world.garden, aviary)
    found = await beside(session, world.alice, world.board, include_self=True)
    assert list(found) == ["aviary", "Garden", "Launch"]


async def test_the_most_urgent_tasks_of_each_board_come_first(
    session: AsyncSession, world: World
) -> None:
    await grouped(session, world, world.board, world.garden)
    earlier = now() - timedelta(hours=1)
    order = [
        ("low, begun", {"status": Status.IN_PROGRESS, "priority": "low"}),
        ("high, in review", {"status": Status.REVIEW, "priority": "high"}),
        ("high", {"priority": "high"}),
        ("medium", {"assignee": world.gardener}),
        ("medium, earlier", {"updated_at": earlier}),
        ("low", {"priority": "low"}),
        ("whatever", {"priority": "whatever"}),
        ("done", {"status": Status.DONE, "priority": "high"}),
    ]
    rows = [made(a_task(world.garden, title), **fields) for title, fields in reversed(order)]
    session.add_all(rows)
    await session.flush()
    await tagged(session, world, next(row for row in rows if row.title == "medium"), "b", "a")
    titles = [title for title, _ in order]
    garden = (
        await beside(session, world.alice, world.board, include_done=True, per_board_task_limit=100)
    )["Garden"]
    assert [one.task.title for one in garden.tasks] == titles
    found = await beside(session, world.alice, world.board, per_board_task_limit=100)
    assert [one.task.title for one in found["Garden"].tasks] == titles[:-1]
    garden = (await beside(session, world.alice, world.board))["Garden"]
    assert [one.task.title for one in garden.tasks] == titles[:5]
    assert garden.task_counts == {"in_progress": 1, "review": 1, "inbox": 5, "done": 1}
    medium = garden.tasks[3]
    assert (medium.board_name, medium.assignee) == ("Garden", "Gardener")
    assert [tag.name for tag in medium.tags] == ["b", "a"]
    assert garden.tasks[0].assignee is None


@pytest.mark.parametrize("most", [0, 1])
async def test_the_limit_is_for_each_board(session: AsyncSession, world: World, most: int) -> None:
    await grouped(session, world, world.board, world.garden)
    for board in (world.board, world.garden):
        session.add_all([a_task(board, f"Task {n}") for n in range(3)])
    await session.flush()
    found = await beside(
        session, world.alice, world.board, include_self=True, per_board_task_limit=most
    )
    assert {name: len(glance.tasks) for name, glance in found.items()} == {
        "Garden": most,
        "Launch": most,
    }
    assert found["Launch"].task_counts == {Status.INBOX: 3}


async def test_statuses_that_do_not_occur_are_not_counted(
    session: AsyncSession, world: World
) -> None:
    await grouped(session, world, world.board, world.garden)
    assert (await beside(session, world.alice, world.board))["Garden"].task_counts == {}


async def test_a_group_costs_the_same_however_many_boards_are_in_it(
    session: AsyncSession, world: World
) -> None:
    await grouped(session, world, world.board, world.garden)
    board = await boards.get(session, world.alice, world.board.id)
    await session.refresh(board)
    statements: list[str] = []
    connection = (await session.connection()).sync_connection
    event.listen(connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
    await snapshots.group_snapshot(session, world.alice, board, include_self=True)
    assert len(statements) <= 5


async def test_an_agent_of_a_sibling_board_is_named(session: AsyncSession, world: World) -> None:
    await grouped(session, world, world.board, world.garden)
    session.add(a_task(world.garden, "Dig", assignee=world.gardener))
    await session.flush()
    garden = (await beside(session, world.lead, world.board))["Garden"]
    assert [(one.task.title, one.assignee) for one in garden.tasks] == [("Dig", "Gardener")]
