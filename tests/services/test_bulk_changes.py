"""Several tasks are changed at once, each within its own rules."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from core.clock import now
from core.errors import NotFound
from models import (
    Agent,
    BulkTaskChange,
    Comment,
    DeletedTask,
    Event,
    EventType,
    Status,
    Tag,
    Task,
    TaskDependency,
    new_id,
)
from services import tasks
from services.tasks import BulkChange, BulkResult, TaskUpdate, bulk_changes
from tests.support.statement_counter import count_statements


async def add_tasks(session, world, *titles):
    made = [world.make_task(title) for title in titles]
    session.add_all(made)
    await session.flush()
    return made


def codes(results):
    return [one.error.code if one.error else None for one in results]


async def update(session, world, made, **fields):
    ids = [task.id for task in made]
    return await change_tasks(session, world, ids, fields=TaskUpdate.of(**fields))


async def change_tasks(session, world, ids, fields=None, **others):
    bulk_change = BulkChange(fields=fields or TaskUpdate.of(), **others)
    return await tasks.change_tasks(session, world.alice, world.board, new_id(), ids, bulk_change)


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
    tags = {"added_tag_ids": [blue.id, red.id], "removed_tag_ids": [grey.id]}
    results = await change_tasks(session, world, ids, **tags)
    assert codes(results) == [None, None]
    found = await tasks.load_task_details(session, world.board, ids)
    assert [[tag.name for tag in found[id].tags] for id in ids] == [
        ["red", "blue"],
        ["blue", "red"],
    ]


async def test_tasks_are_deleted_and_restored_together(session, world) -> None:
    made = await add_tasks(session, world, "a", "b")
    ids = [made[0].id, new_id(), made[1].id]
    deleted = await change_tasks(session, world, ids, is_deletion=True)
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


async def change(session, world, made, **fields):
    """Change tasks so that it can be undone, and return the id of the change."""
    change_id, ids = new_id(), [task.id for task in made]
    changed = BulkChange(fields=TaskUpdate.of(**fields))
    results = await tasks.change_tasks(session, world.alice, world.board, change_id, ids, changed)
    assert codes(results) == [None] * len(made)
    return change_id


async def read_values(session, world, made):
    found = await tasks.load_task_details(session, world.board, [task.id for task in made])
    shown = [found[task.id] for task in made]
    return [
        (one.task.status, one.task.assigned_agent_id, one.task.assigned_user_id) for one in shown
    ]


async def test_undo_restores_what_a_change_has_caused(session, world) -> None:
    begun, held, free = await add_tasks(session, world, "Begun", "Held", "Free")
    begun.status, begun.assigned_agent_id = Status.IN_PROGRESS, world.worker.id
    held.assigned_user_id = world.bob.id
    await session.flush()
    made = [begun, held, free]
    before = await read_values(session, world, made)
    for fields in (
        {"assigned_agent_id": None, "assigned_user_id": None},  # returns the first to the inbox
        {"status": Status.REVIEW},
        {"assigned_user_id": world.alice.id},
    ):
        change_id = await change(session, world, made, **fields)
        assert await read_values(session, world, made) != before
        results, rest = await tasks.undo_change(session, world.alice, world.board, change_id)
        assert (set(codes(results)), rest) == ({None}, [])
        assert await read_values(session, world, made) == before


async def test_each_task_of_a_change_and_of_its_undo_is_an_event(session, world) -> None:
    made = await add_tasks(session, world, "a", "b")
    change_id = await change(session, world, made, priority="high")
    await tasks.undo_change(session, world.alice, world.board, change_id)
    query = select(Event.user_id, Event.data["changes"]["priority"]).order_by(Event.seq)
    found = (await session.execute(query.where(Event.type == EventType.TASK_UPDATED))).all()
    written = [["medium", "high"]] * 2 + [["high", "medium"]] * 2
    assert [tuple(one) for one in found] == [(world.alice.id, pair) for pair in written]


async def test_undo_returns_tasks_to_their_places(session, world) -> None:
    made = await add_tasks(session, world, "Fourth", "Third", "Second", "First")
    for number, task in enumerate(made):
        task.rank = Decimal(number)
    await session.flush()

    async def list_titles():
        query = select(Task.title).where(Task.status == Status.INBOX).order_by(Task.rank.desc())
        return (await session.scalars(query.where(Task.id.in_([task.id for task in made])))).all()

    change_id = await change(session, world, [made[2], made[0]], status=Status.REVIEW)
    assert await list_titles() == ["First", "Third"]
    newest = world.make_task("Between", rank=Decimal("1.5"))
    session.add(newest)
    await session.flush()
    results, rest = await tasks.undo_change(session, world.alice, world.board, change_id)
    assert (codes(results), rest) == ([None, None], [])
    made.append(newest)
    assert await list_titles() == ["First", "Second", "Between", "Third", "Fourth"]


async def test_a_change_can_be_undone_for_a_limited_time(session, world) -> None:
    made = await add_tasks(session, world, "a")
    change_id = await change(session, world, made, priority="high")
    stored = await session.get(BulkTaskChange, change_id)
    stored.created_at = now() - bulk_changes.UNDO_FOR
    await session.flush()
    with pytest.raises(NotFound, match="too long ago"):
        await tasks.undo_change(session, world.alice, world.board, change_id)
    await tasks.purge_bulk_changes(session)
    assert await session.scalar(select(func.count()).select_from(BulkTaskChange)) == 0


async def delete_with_comments(session, world, *titles):
    """Delete tasks with a comment each, and return their ids."""
    made = await add_tasks(session, world, *titles)
    at = {"board_id": world.board.id, "created_at": now()}
    session.add_all([Comment(task=task, message=f"{task.title}. " * 50, **at) for task in made])
    await session.flush()
    ids = [task.id for task in made]
    deleted = await change_tasks(session, world, ids, is_deletion=True)
    assert codes(deleted) == [None] * len(ids)
    return ids


async def test_restored_tasks_are_published_after_the_last_comment(session, world) -> None:
    ids = await delete_with_comments(session, world, "a", "b")
    with count_statements(await session.connection()) as statements:
        await tasks.restore_tasks(session, world.alice, world.board, ids)
    kinds = [
        kind
        for one in statements
        for kind in ("insert into task_comments", "record_at_commit")
        if kind in one.lower()
    ]
    comments = ["insert into task_comments"] * 2
    assert kinds == [*comments, "record_at_commit"]


async def test_a_transaction_restores_a_limited_size(session, world, monkeypatch) -> None:
    ids = await delete_with_comments(session, world, "a", "b", "c")
    monkeypatch.setattr(bulk_changes, "RESTORED_AT_ONCE", 1)
    results = await tasks.restore_tasks(session, world.alice, world.board, [*ids, new_id()])
    assert [one.task_id for one in results][:1] == [ids[2]]
    assert codes(results) == [None, "task_not_restorable"]
    monkeypatch.undo()
    results = await tasks.restore_tasks(session, world.alice, world.board, ids[:2])
    assert codes(results) == [None, None]


async def test_large_deletions_are_undone_in_several_transactions(
    session, world, monkeypatch
) -> None:
    made = await add_tasks(session, world, "a", "b")
    change_id, ids = new_id(), [task.id for task in made]
    deletion = BulkChange(fields=TaskUpdate.of(), is_deletion=True)
    await tasks.change_tasks(session, world.alice, world.board, change_id, ids, deletion)
    monkeypatch.setattr(bulk_changes, "RESTORED_AT_ONCE", 1)
    for id, rest in ((ids[1], ids[:1]), (ids[0], [])):
        undone = await tasks.undo_change(session, world.alice, world.board, change_id)
        assert undone == ([BulkResult(id)], rest)
