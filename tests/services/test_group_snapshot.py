"""Snapshots of board groups."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import Actor, Board, Status, Tag, TagAssignment, Task
from services import boards, snapshots
from services.snapshots import GroupSnapshot, GroupSnapshotBoard
from tests.support.board_rows import make_board, make_task
from tests.support.memory_rows import create_group_of
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


async def load_snapshot(
    session: AsyncSession, actor: Actor, board: Board, *, include_self: bool = False, **options: Any
) -> GroupSnapshot:
    """Load the snapshot of the group of a board for an actor."""
    loaded = await boards.get_board(session, actor, board.id)
    await session.refresh(loaded)
    excluding = None if include_self else loaded
    return await snapshots.load_group_snapshot(
        session, actor, loaded.board_group_id, excluding=excluding, **options
    )


async def load_boards(
    session: AsyncSession, actor: Actor, board: Board, **options: Any
) -> dict[str, GroupSnapshotBoard]:
    """Load the boards of the snapshot by name."""
    found = await load_snapshot(session, actor, board, **options)
    return {entry.board.name: entry for entry in found.boards}


async def add_tags(session: AsyncSession, world: World, task: Task, *names: str) -> None:
    for position, name in enumerate(names):
        tag = Tag(
            organization_id=world.tern.id,
            name=name,
            slug=name,
            created_at=now(),
            updated_at=now(),
        )
        assignment = TagAssignment(task_id=task.id, tag=tag, position=position, created_at=now())
        session.add_all([tag, assignment])
    await session.flush()


async def test_group_snapshot_of_a_board_without_group_is_empty(
    session: AsyncSession, world: World
) -> None:
    found = await load_snapshot(session, world.alice, world.board)
    assert (found.group, found.boards) == (None, [])


async def test_users_see_readable_boards_and_agents_see_all_boards(
    session: AsyncSession, world: World
) -> None:
    group = await create_group_of(session, world.board, world.garden)
    assert list(await load_boards(session, world.alice, world.board)) == ["Garden"]
    assert list(await load_boards(session, world.worker, world.board)) == ["Garden"]
    assert list(await load_boards(session, world.bob, world.board)) == []
    assert list(await load_boards(session, world.bob, world.board, include_self=True)) == ["Launch"]
    found = await load_snapshot(session, world.bob, world.board)
    assert found.group is not None
    assert found.group.id == group.id


async def test_boards_of_a_group_are_ordered_by_name(session: AsyncSession, world: World) -> None:
    aviary = make_board("aviary", world.tern)
    session.add(aviary)
    await session.flush()
    await create_group_of(session, world.board, world.garden, aviary)
    found = await load_boards(session, world.alice, world.board, include_self=True)
    assert list(found) == ["aviary", "Garden", "Launch"]


async def test_most_urgent_tasks_of_each_board_come_first(
    session: AsyncSession, world: World
) -> None:
    await create_group_of(session, world.board, world.garden)
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
    rows = [
        with_fields(make_task(world.garden, title), **fields) for title, fields in reversed(order)
    ]
    session.add_all(rows)
    await session.flush()
    await add_tags(session, world, next(row for row in rows if row.title == "medium"), "b", "a")
    titles = [title for title, _ in order]
    garden = (
        await load_boards(
            session, world.alice, world.board, include_done=True, per_board_task_limit=100
        )
    )["Garden"]
    assert [one.task.title for one in garden.tasks] == titles
    found = await load_boards(session, world.alice, world.board, per_board_task_limit=100)
    assert [one.task.title for one in found["Garden"].tasks] == titles[:-1]
    garden = (await load_boards(session, world.alice, world.board))["Garden"]
    assert [one.task.title for one in garden.tasks] == titles[:5]
    assert garden.task_counts == {"in_progress": 1, "review": 1, "inbox": 5, "done": 1}
    medium = garden.tasks[3]
    assert (medium.board_name, medium.assignee) == ("Garden", "Gardener")
    assert [tag.name for tag in medium.tags] == ["b", "a"]
    assert garden.tasks[0].assignee is None


@pytest.mark.parametrize("limit", [0, 1])
async def test_task_limit_applies_per_board(
    session: AsyncSession, world: World, limit: int
) -> None:
    """P7."""
    await create_group_of(session, world.board, world.garden)
    for board in (world.board, world.garden):
        session.add_all([make_task(board, f"Task {n}") for n in range(3)])
    await session.flush()
    found = await load_boards(
        session, world.alice, world.board, include_self=True, per_board_task_limit=limit
    )
    assert {name: len(entry.tasks) for name, entry in found.items()} == {
        "Garden": limit,
        "Launch": limit,
    }
    assert found["Launch"].task_counts == {Status.INBOX: 3}


async def test_unused_statuses_are_not_counted(session: AsyncSession, world: World) -> None:
    await create_group_of(session, world.board, world.garden)
    assert (await load_boards(session, world.alice, world.board))["Garden"].task_counts == {}


async def test_group_snapshot_takes_one_statement(session: AsyncSession, world: World) -> None:
    """P7."""
    group = await create_group_of(session, world.board, world.garden)
    session.add_all([make_task(world.board, f"Task {n}") for n in range(50)])
    await session.flush()
    with count_statements(await session.connection()) as statements:
        await snapshots.load_group_snapshot(session, world.alice, group.id)
    assert len(statements) == 1


async def test_assignee_on_another_board_is_named(session: AsyncSession, world: World) -> None:
    await create_group_of(session, world.board, world.garden)
    session.add(make_task(world.garden, "Dig", assignee=world.gardener))
    await session.flush()
    garden = (await load_boards(session, world.lead, world.board))["Garden"]
    assert [(one.task.title, one.assignee) for one in garden.tasks] == [("Dig", "Gardener")]
