"""The boards of a group at a glance."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Actor, Board, Status, Tag, TagAssignment, Task
from services import board_groups, boards
from services.board_groups import BoardGlance, GroupSnapshot
from tests.remembering import grouped
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


async def seen(
    session: AsyncSession, actor: Actor, board: Board, *, include_self: bool = False, **how: Any
) -> GroupSnapshot:
    """Return what an actor sees of the group that a board is in."""
    held = await boards.get(session, actor, board.id)
    await session.refresh(held)
    besides = None if include_self else held
    return await board_groups.snapshot(session, actor, held.board_group_id, besides=besides, **how)


async def beside(
    session: AsyncSession, actor: Actor, board: Board, **how: Any
) -> dict[str, BoardGlance]:
    """Return the same by the boards' names."""
    found = await seen(session, actor, board, **how)
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


async def test_a_board_without_a_group_has_none_beside_it(
    session: AsyncSession, world: World
) -> None:
    found = await seen(session, world.alice, world.board)
    assert (found.group, found.boards) == (None, [])


async def test_people_see_of_a_group_what_they_read_and_agents_see_all(
    session: AsyncSession, world: World
) -> None:
    group = await grouped(session, world.board, world.garden)
    assert list(await beside(session, world.alice, world.board)) == ["Garden"]
    assert list(await beside(session, world.worker, world.board)) == ["Garden"]
    assert list(await beside(session, world.bob, world.board)) == []
    assert list(await beside(session, world.bob, world.board, include_self=True)) == ["Launch"]
    found = await seen(session, world.bob, world.board)
    assert found.group is not None
    assert found.group.id == group.id


async def test_the_boards_of_a_group_come_by_name(session: AsyncSession, world: World) -> None:
    aviary = a_board("aviary", world.tern)
    session.add(aviary)
    await session.flush()
    await grouped(session, world.board, world.garden, aviary)
    found = await beside(session, world.alice, world.board, include_self=True)
    assert list(found) == ["aviary", "Garden", "Launch"]


async def test_the_most_urgent_tasks_of_each_board_come_first(
    session: AsyncSession, world: World
) -> None:
    await grouped(session, world.board, world.garden)
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
    """P7."""
    await grouped(session, world.board, world.garden)
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
    await grouped(session, world.board, world.garden)
    assert (await beside(session, world.alice, world.board))["Garden"].task_counts == {}


async def test_a_group_costs_one_statement_however_many_boards_are_in_it(
    session: AsyncSession, world: World
) -> None:
    """P7."""
    group = await grouped(session, world.board, world.garden)
    session.add_all([a_task(world.board, f"Task {n}") for n in range(50)])
    await session.flush()
    statements: list[str] = []
    connection = (await session.connection()).sync_connection
    event.listen(connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
    await board_groups.snapshot(session, world.alice, group.id)
    assert len(statements) == 1


async def test_an_agent_of_a_sibling_board_is_named(session: AsyncSession, world: World) -> None:
    await grouped(session, world.board, world.garden)
    session.add(a_task(world.garden, "Dig", assignee=world.gardener))
    await session.flush()
    garden = (await beside(session, world.lead, world.board))["Garden"]
    assert [(one.task.title, one.assignee) for one in garden.tasks] == [("Dig", "Gardener")]
