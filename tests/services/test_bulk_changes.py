"""Several tasks are changed at once, each within its own rules."""

from datetime import UTC, datetime

from sqlalchemy import func, select

from core.clock import now
from models import Agent, DeletedTask, Status, Tag, Task, TaskDependency, new_id
from services import tasks
from services.tasks import BulkChange, TaskUpdate


async def add_tasks(session, world, *titles):
    made = [world.make_task(title) for title in titles]
    session.add_all(made)
    await session.flush()
    return made


def codes(results):
    return [one.error.code if one.error else None for one in results]


async def update(session, world, made, **fields):
    ids = [task.id for task in made]
    change = BulkChange(fields=TaskUpdate.of(**fields))
    return await tasks.update_tasks(session, world.alice, world.board, ids, change)


async def test_a_task_that_may_not_change_does_not_stop_the_others(session, world) -> None:
    first, blocked, last = await add_tasks(session, world, "First", "Blocked", "Last")
    edge = {"board_id": world.board.id, "created_at": now()}
    session.add(TaskDependency(task=blocked, depends_on=first, **edge))
    await session.flush()
    results = await update(session, world, [last, blocked, first], status=Status.REVIEW)
    assert codes(results) == [None, "task_blocked_cannot_transition", None]
    found = await tasks.load_task_details(session, world.board, [last.id, blocked.id, first.id])
    statuses = [found[task.id].task.status for task in (last, blocked, first)]
    assert statuses == [Status.REVIEW, Status.INBOX, Status.REVIEW]


async def test_assignee_priority_and_due_date_change_together(session, world) -> None:
    made = await add_tasks(session, world, "a", "b")
    due = datetime(2030, 1, 2, tzinfo=UTC)
    fields = {"priority": "high", "due_at": due, "assigned_agent_id": world.worker.id}
    assert codes(await update(session, world, made, **fields)) == [None, None]
    found = (await tasks.load_task_details(session, world.board, [one.id for one in made])).values()
    assert {(one.task.priority, one.task.due_at) for one in found} == {("high", due)}
    assert {one.task.assigned_agent_id for one in found} == {world.worker.id}
    stranger = {"assigned_agent_id": world.charlies_worker.id}
    assert codes(await update(session, world, made, **stranger)) == ["agent_not_found"] * 2
    assert isinstance(await session.get(Agent, world.charlies_worker.id), Agent)


async def test_tags_are_added_and_removed_and_the_others_stay(session, world) -> None:
    at = {"organization_id": world.tern.id, "created_at": now(), "updated_at": now()}
    red, blue, grey = (
        Tag(id=new_id(), name=one, slug=one, **at) for one in ("red", "blue", "grey")
    )
    session.add_all([red, blue, grey])
    made = await add_tasks(session, world, "a", "b")
    changes = {"tag_ids": [red.id, grey.id]}
    await tasks.update_task(
        session, world.alice, world.board, made[0].id, tasks.TaskUpdate.of(**changes)
    )
    ids = [task.id for task in made]
    change = BulkChange(
        fields=TaskUpdate.of(), added_tag_ids=[blue.id, red.id], removed_tag_ids=[grey.id]
    )
    results = await tasks.update_tasks(session, world.alice, world.board, ids, change)
    assert codes(results) == [None, None]
    found = await tasks.load_task_details(session, world.board, ids)
    assert [[tag.name for tag in found[id].tags] for id in ids] == [
        ["red", "blue"],
        ["blue", "red"],
    ]


async def test_tasks_are_deleted_and_restored_together(session, world) -> None:
    made = await add_tasks(session, world, "a", "b")
    ids = [made[0].id, new_id(), made[1].id]
    deleted = await tasks.delete_tasks(session, world.alice, world.board, ids)
    assert codes(deleted) == [None, "task_not_found", None]
    assert await session.scalar(select(func.count()).select_from(DeletedTask)) == 2
    restored = await tasks.restore_tasks(session, world.alice, world.board, ids)
    assert codes(restored) == [None, "task_not_restorable", None]
    titles = select(Task.title).where(Task.board_id == world.board.id).order_by(Task.title)
    assert list(await session.scalars(titles)) == ["a", "b"]


async def test_a_task_of_another_board_is_not_found(session, world) -> None:
    task = Task(board_id=world.garden.id, title="Rake", created_at=now(), updated_at=now())
    session.add(task)
    await session.flush()
    assert codes(await update(session, world, [task], priority="high")) == ["task_not_found"]
