"""The list of deleted tasks, and the restoring of several."""

import pytest
from sqlalchemy import select

from core.clock import now
from core.errors import Forbidden, NotFound
from core.paging import KeysetPage
from models import Comment, DeletedTask, Event, Status, TaskDependency, new_id
from services import agents, tasks


async def delete_all(session, actor, board, *chosen) -> None:
    for task in chosen:
        await tasks.delete_task(session, actor, board, task.id)


@pytest.fixture
async def pair(session, world):
    """Return two tasks; the second depends on the first."""
    first, second = world.make_task("First", status=Status.REVIEW), world.make_task("Second")
    session.add_all(
        [
            first,
            second,
            TaskDependency(
                task=second, depends_on=first, board_id=world.board.id, created_at=now()
            ),
            Comment(task=first, message="Hello", board_id=world.board.id, created_at=now()),
        ]
    )
    await session.flush()
    return first, second


async def test_deleted_tasks_are_listed_with_who_deleted_them(session, world, pair) -> None:
    first, second = pair
    await tasks.delete_task(session, world.alice, world.board, first.id)
    await tasks.restore_task(session, world.alice, world.board, first.id)
    await tasks.delete_task(session, world.bob, world.board, first.id)
    await tasks.delete_task(session, world.lead, world.board, second.id)

    page, total = await tasks.list_trashed_tasks(session, world.board)
    latest, earliest = page.items

    assert (latest.title, latest.status, latest.comment_count) == ("Second", Status.INBOX, 0)
    assert (latest.deleted_by, latest.agent_id) == (world.lead.name, world.lead.id)
    assert (earliest.title, earliest.status) == ("First", Status.REVIEW)
    assert (earliest.comment_count, total) == (1, 2)
    assert (earliest.deleted_by, earliest.user_id) == (world.bob.display_name, world.bob.id)
    assert await tasks.list_trashed_tasks(session, world.garden) == (KeysetPage([]), 0)


async def test_a_deleted_agent_keeps_its_name_in_the_trash(session, world, pair) -> None:
    await tasks.delete_task(session, world.lead, world.board, pair[0].id)
    await agents.delete_agent(session, world.alice, world.lead.id)

    [one] = (await tasks.list_trashed_tasks(session, world.board))[0].items

    assert one.deleted_by == "Lead"


async def test_a_deletion_without_an_event_has_no_actor(session, world) -> None:
    rows = {"tasks": [{"title": "Old", "status": "inbox"}], "task_comments": []}
    session.add(DeletedTask(board_id=world.board.id, task_id=new_id(), rows=rows, deleted_at=now()))
    await session.flush()

    [one] = (await tasks.list_trashed_tasks(session, world.board))[0].items

    assert one.deleted_by is None


@pytest.mark.parametrize("order", [1, -1])
async def test_dependencies_between_restored_tasks_are_kept(session, world, pair, order) -> None:
    await delete_all(session, world.alice, world.board, *pair[::order])
    ids = [task.id for task in pair]

    results = await tasks.restore_tasks(session, world.alice, world.board, ids)

    assert [one.error for one in results] == [None, None]
    edges = (await session.scalars(select(TaskDependency))).all()
    assert [(one.task_id, one.depends_on_task_id) for one in edges] == [(ids[1], ids[0])]


async def test_purged_tasks_are_not_listed(session, world, pair) -> None:
    await delete_all(session, world.alice, world.board, *pair)
    await tasks.purge_trash(session, keep_days=0)
    assert await tasks.list_trashed_tasks(session, world.board) == (KeysetPage([]), 0)


async def test_tasks_of_another_board_are_not_restored(session, world, pair) -> None:
    await delete_all(session, world.alice, world.board, *pair)
    event_count = len((await session.scalars(select(Event))).all())

    [result] = await tasks.restore_tasks(session, world.alice, world.garden, [pair[0].id])

    assert isinstance(result.error, NotFound)
    assert len((await session.scalars(select(Event))).all()) == event_count


async def test_a_worker_cannot_restore_tasks(session, world, pair) -> None:
    await delete_all(session, world.alice, world.board, pair[0])
    [result] = await tasks.restore_tasks(session, world.worker, world.board, [pair[0].id])
    assert isinstance(result.error, Forbidden)
