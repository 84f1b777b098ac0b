"""Deleting a task, and bringing it back with all that hung on it."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Table, select

from kit.clock import now
from kit.errors import Forbidden, NotFound
from models import (
    Approval,
    ApprovalTask,
    Base,
    Comment,
    Event,
    EventType,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
    new_id,
)
from services import agents, tasks

KINDS = (Task, TaskDependency, Comment, TagAssignment, Approval, ApprovalTask)
MOVES = {"updated_at", "version"}  # columns that move with every change


async def rows(session):
    """Return all rows of a task's tables, as they are in the database."""
    found = {}
    for kind in KINDS:
        table = Base.metadata.tables[kind.__tablename__]
        found[table.name] = [_still(row) for row in await session.execute(_all(table))]
    return found


def _all(table: Table):
    return select(table).order_by(table.c.id)


def _still(row):
    return {name: value for name, value in row._mapping.items() if name not in MOVES}


async def a_full_task(session, world):
    """Make a task on which everything hangs that can hang on a task."""
    fields = {"assigned_agent_id": world.worker.id, "previous_assignee_id": world.worker.id}
    times = {"due_at": now(), "in_progress_at": now(), "started_at": now()}
    task = world.task("Full", status=Status.IN_PROGRESS, description="é\n\\", **fields, **times)
    before, after = world.task("Before"), world.task("After")
    tag = Tag(
        organization_id=world.tern.id,
        name="Red",
        slug="red",
        created_at=now(),
        updated_at=now(),
    )
    there = {"created_at": now(), "board_id": world.board.id}
    session.add_all(
        [
            task,
            TaskDependency(task=task, depends_on=before, position=3, **there),
            TaskDependency(task=after, depends_on=task, **there),
            Comment(task=task, message="By her", user_id=world.alice.id, **there),
            Comment(task=task, message="By it", agent_id=world.worker.id, **there),
            TagAssignment(task=task, tag=tag, position=2, created_at=now()),
            *(alone := world.approval(task, payload={"reason": ["a", 1.5, None]})),
            *(first := world.approval(task, after, before)),
            *(linked := world.approval(before, task)),
        ]
    )
    await session.flush()
    return task, before, after, tag, alone[0], first[0], linked[0]


async def test_a_deleted_task_takes_along_what_hung_on_it(session, world) -> None:
    """C22."""
    task, before, after, _, alone, first, linked = await a_full_task(session, world)
    await tasks.delete(session, world.alice, world.board, task.id)

    left = await rows(session)
    assert {row["id"] for row in left["tasks"]} == {before.id, after.id}
    assert left["task_dependencies"] == left["task_comments"] == left["tag_assignments"] == []
    assert {row["id"]: row["task_id"] for row in left["approvals"]} == {
        first.id: after.id,
        linked.id: before.id,
    }
    deleted, heard = await session.scalars(select(Event).order_by(Event.seq))
    assert (deleted.type, deleted.task_id) == (EventType.TASK_DELETED, task.id)
    assert deleted.data == {"title": "Full", "left": "in_progress", "approval_ids": [str(alone.id)]}
    assert (heard.type, heard.task_id) == (EventType.TASK_UPDATED, after.id)
    assert heard.data["deleted_task_id"] == str(task.id)


async def test_a_task_that_is_brought_back_has_all_that_it_had(session, world) -> None:
    task, _, after, *_ = await a_full_task(session, world)
    version = task.version
    had = await rows(session)
    await tasks.delete(session, world.alice, world.board, task.id)
    found = await tasks.restore(session, world.alice, world.board, task.id)

    assert await rows(session) == had
    assert found.task.version == version + 1
    assert [other.id for other in found.unblocks] == [after.id]
    last = (await session.scalars(select(Event).order_by(Event.seq.desc()).limit(2))).all()
    assert [event.type for event in last] == [EventType.TASK_UPDATED, EventType.TASK_RESTORED]

    await tasks.delete(session, world.lead, world.board, task.id)
    await tasks.restore(session, world.lead, world.board, task.id)
    assert await rows(session) == had
    with pytest.raises(NotFound):
        await tasks.restore(session, world.alice, world.board, task.id)


@pytest.mark.parametrize("year", [2, 9998])
async def test_the_ends_of_time_are_kept_too(session, world, year) -> None:
    due_at = datetime(year, 1, 1, 12, 30, 15, 250, tzinfo=UTC)
    draft = tasks.TaskDraft(title="🦜" * 500, due_at=due_at)
    task = (await tasks.create(session, world.alice, world.board, draft)).task
    await tasks.delete(session, world.alice, world.board, task.id)
    found = await tasks.restore(session, world.alice, world.board, task.id)
    assert (found.task.due_at, found.task.title) == (due_at, draft.title)


async def test_what_is_gone_by_then_stays_away(session, world) -> None:
    task, before, _, tag, _, first, _ = await a_full_task(session, world)
    await tasks.delete(session, world.alice, world.board, task.id)
    for gone in (world.worker, tag, before, first):
        await session.delete(await session.get(type(gone), gone.id))
    await session.flush()
    found = await tasks.restore(session, world.alice, world.board, task.id)
    assert (found.task.assigned_agent_id, found.task.previous_assignee_id) == (None, None)
    assert (found.depends_on_task_ids, found.tags) == ([], [])
    assert (found.comments_count, found.approvals_count) == (2, 2)


async def last_told(session, task) -> Event:
    about = select(Event).where(Event.task_id == task.id).order_by(Event.seq.desc())
    return await session.scalar(about.limit(1))


@pytest.mark.parametrize("is_deleted", [True, False])
@pytest.mark.parametrize(
    ("status", "becomes"), [("inbox", "inbox"), ("in_progress", "inbox"), ("review", "review")]
)
async def test_a_task_whose_agent_has_left_comes_back_as_nobodys(
    session, world, status, becomes, is_deleted
) -> None:
    begun = now() if status == "in_progress" else None
    fields = {"assigned_agent_id": world.worker.id, "in_progress_at": begun}
    task = world.task(status=Status(status), **fields)
    session.add(task)
    await session.flush()
    await tasks.delete(session, world.alice, world.board, task.id)
    if is_deleted:
        await agents.delete(session, world.alice, world.worker.id)
    else:
        elsewhere = {"board_id": world.garden.id}
        await agents.change(session, world.alices, world.worker.id, elsewhere)
    found = (await tasks.restore(session, world.alice, world.board, task.id)).task

    left = (found.status, found.assigned_agent_id, found.in_progress_at)
    assert left == (Status(becomes), None, None)
    told = await last_told(session, task)
    if status != becomes:
        assert (told.data["left"], told.data["entered"]) == (status, becomes)
    elif is_deleted:
        assert told.type is EventType.TASK_RESTORED
    else:
        assert told.data["changes"]["assigned_agent_id"] == [str(world.worker.id), None]


async def test_a_task_that_comes_back_undone_sends_back_what_has_begun_without_it(
    session, world
) -> None:
    one, done = world.task("One"), world.task("Done", status=Status.DONE)
    names = ("Begun", "Assigned", "Begun after what was done")
    begun, assigned, free = [world.task(name) for name in names]
    there = {"created_at": now(), "board_id": world.board.id}
    edges = [(begun, one), (assigned, one), (free, done)]
    session.add_all([one, done, begun, assigned, free])
    session.add_all([TaskDependency(task=a, depends_on=b, **there) for a, b in edges])
    await session.flush()
    for task in (one, done):
        await tasks.delete(session, world.alice, world.board, task.id)
    for task in (begun, free):
        start = {"status": "in_progress"}
        await tasks.change(session, world.worker, world.board, task.id, start)
    keeps = {"assigned_agent_id": world.worker.id}
    await tasks.change(session, world.lead, world.board, assigned.id, keeps)
    for task in (one, done):
        await tasks.restore(session, world.alice, world.board, task.id)

    assert (begun.status, begun.assigned_agent_id) == (Status.INBOX, None)
    told = await last_told(session, begun)
    assert told.type is EventType.TASK_STATUS_CHANGED
    assert told.data["restored_task_id"] == str(one.id)
    assert (assigned.status, assigned.assigned_agent_id) == (Status.INBOX, world.worker.id)
    assert (free.status, free.assigned_agent_id) == (Status.IN_PROGRESS, world.worker.id)


async def test_no_circle_is_brought_back(session, world) -> None:
    task, before, after, *_ = await a_full_task(session, world)
    await tasks.delete(session, world.alice, world.board, task.id)
    circle = {"depends_on_task_ids": [after.id]}
    await tasks.change(session, world.alice, world.board, before.id, circle)
    found = await tasks.restore(session, world.alice, world.board, task.id)
    edges = len(found.depends_on) + len(found.unblocks)
    assert edges == 1


async def test_what_is_purged_does_not_come_back(session, world) -> None:
    task = world.task()
    session.add(task)
    await session.flush()
    await tasks.delete(session, world.alice, world.board, task.id)
    assert await tasks.purge_trash(session, timedelta(minutes=1)) == 0
    assert await tasks.purge_trash(session, timedelta(0)) == 1
    with pytest.raises(NotFound):
        await tasks.restore(session, world.alice, world.board, task.id)


async def test_workers_delete_nothing_and_strangers_bring_nothing_back(session, world) -> None:
    task = world.task()
    session.add(task)
    await session.flush()
    for ask in (tasks.delete, tasks.restore):
        with pytest.raises(Forbidden):
            await ask(session, world.worker, world.board, task.id)
    await tasks.delete(session, world.alice, world.board, task.id)
    for actor, board in [(world.charlie, world.charlies_board), (world.alice, world.garden)]:
        with pytest.raises(NotFound):
            await tasks.restore(session, actor, board, task.id)
    assert (await rows(session))["tasks"] == []
    with pytest.raises(NotFound):
        await tasks.delete(session, world.alice, world.board, new_id())
