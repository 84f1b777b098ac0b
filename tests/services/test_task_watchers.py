"""Who is told about tasks: mentioned people, assignees and watchers; reminders of due dates."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update

from core.clock import now
from models import BoardAccess, Notification, NotificationKind, Status, Task, TaskWatcher, User
from services import memory, tasks
from services.memory import NoteCreate, board_scope
from services.tasks import TaskCreate, remind_of_due_dates

Kind = NotificationKind


async def make_task(session, world, **fields) -> Task:
    task = world.make_task(**fields)
    session.add(task)
    await session.flush()
    return task


async def create(session, world, actor, **fields) -> Task:
    draft = TaskCreate(title="Paint the door", **fields)
    return (await tasks.create_task(session, actor, world.board, draft)).task


async def change(session, world, actor, task, **changes) -> Task:
    return (
        await tasks.update_task(
            session, actor, world.board, task.id, tasks.TaskUpdate.of(**changes)
        )
    ).task


async def comment(session, world, actor, task, text):
    return await tasks.create_comment(session, actor, world.board, task.id, text)


async def list_told(session, world) -> list[tuple[str, str]]:
    """Return the names and kinds of all notifications."""
    query = select(User.name, Notification.kind).join(User, User.id == Notification.user_id)
    rows = await session.execute(query.order_by(User.name, Notification.kind))
    return [(name, str(kind)) for name, kind in rows]


async def list_watchers(session, world, task) -> list[str]:
    return [one.name for one in await tasks.list_watchers(session, world.board, task.id)]


async def test_the_new_assignee_is_told_and_watches(session, world) -> None:
    task = await create(session, world, world.alice, assigned_user_id=world.bob.id)
    assert await list_told(session, world) == [("Bob", Kind.ASSIGNED)]
    assert await list_watchers(session, world, task) == ["Alice", "Bob"]
    await change(session, world, world.alice, task, assigned_user_id=world.rita.id)
    assert await list_told(session, world) == [("Bob", Kind.ASSIGNED), ("Rita", Kind.ASSIGNED)]


async def test_nobody_is_told_of_own_actions(session, world) -> None:
    task = await create(session, world, world.bob, assigned_user_id=world.bob.id)
    await comment(session, world, world.bob, task, "@Bob note to myself")
    await change(session, world, world.bob, task, status="in_progress")
    assert await list_told(session, world) == []


async def test_watchers_are_told_of_comments_and_moves_in_one_notification(session, world) -> None:
    task = await create(session, world, world.alice)
    await comment(session, world, world.bob, task, "First")
    await change(session, world, world.worker, task, status="in_progress", comment="I start.")
    await change(session, world, world.bob, task, title="Paint the doors")
    rows = await session.execute(
        select(User.name, Notification.kind, Notification.count)
        .join(User, User.id == Notification.user_id)
        .order_by(User.name)
    )
    assert [tuple(row) for row in rows] == [
        ("Alice", Kind.TASK_CHANGED, 2),
        ("Bob", Kind.TASK_CHANGED, 1),
    ]


async def test_watchers_are_told_of_a_move_without_a_comment(session, world) -> None:
    task = await create(session, world, world.alice)
    await change(session, world, world.bob, task, status="in_progress")
    [told] = await session.scalars(select(Notification))
    assert (told.user_id, told.kind) == (world.alice.id, Kind.TASK_CHANGED)
    assert told.data["status"] == "in_progress"


async def test_a_mention_in_a_comment_tells_once(session, world) -> None:
    task = await create(session, world, world.alice)
    await comment(session, world, world.worker, task, "@Bob and @bob, and @Alice: it is done.")
    assert await list_told(session, world) == [("Alice", Kind.MENTION), ("Bob", Kind.MENTION)]
    assert await list_watchers(session, world, task) == ["Alice", "Bob"]
    found = (await session.scalars(select(Notification))).all()
    assert {one.task_id for one in found} == {task.id}
    assert found[0].data["excerpt"].startswith("@Bob and @bob")


async def test_a_description_tells_only_those_who_are_newly_mentioned(session, world) -> None:
    task = await create(session, world, world.alice, description="With @Bob")
    assert await list_told(session, world) == [("Bob", Kind.MENTION)]
    await change(session, world, world.alice, task, description="With @Bob and @Rita")
    assert await list_told(session, world) == [("Bob", Kind.MENTION), ("Rita", Kind.MENTION)]


async def test_who_cannot_read_the_board_is_not_told(session, world) -> None:
    task = await create(session, world, world.alice)
    await comment(session, world, world.alice, task, "@Dana @Charlie, look")
    assert await list_told(session, world) == []
    await comment(session, world, world.bob, task, "I watch now.")
    await session.execute(
        delete(BoardAccess).where(BoardAccess.organization_member_id == world.bob_member.id)
    )
    await session.execute(update(Notification).values(key=None))
    await comment(session, world, world.worker, task, "Done.")
    assert await list_told(session, world) == [
        ("Alice", Kind.TASK_CHANGED),
        ("Alice", Kind.TASK_CHANGED),
    ]
    assert await list_watchers(session, world, task) == ["Alice"]


async def test_a_user_watches_and_stops_watching(session, world) -> None:
    task = await make_task(session, world)
    for _ in range(2):
        await tasks.watch_task(session, world.rita, world.board, task.id)
    assert await list_watchers(session, world, task) == ["Rita"]
    await tasks.unwatch_task(session, world.rita, world.board, task.id)
    await comment(session, world, world.alice, task, "Hello")
    assert await list_told(session, world) == []


async def test_a_restored_task_has_its_watchers(session, world) -> None:
    task = await create(session, world, world.alice)
    await tasks.delete_task(session, world.alice, world.board, task.id)
    assert await session.scalar(select(TaskWatcher.id)) is None
    await tasks.restore_task(session, world.alice, world.board, task.id)
    assert await list_watchers(session, world, task) == ["Alice"]


@pytest.mark.parametrize("tags", [["chat"], None])
async def test_notes_and_chat_messages_mention_people(session, world, tags) -> None:
    draft = NoteCreate(content="@Bob, @Dana: please read", tags=tags)
    scope = board_scope(world.board)
    note = await memory.create_note(session, world.worker, scope, draft, base_url="http://x")
    assert await list_told(session, world) == [("Bob", Kind.MENTION)]
    [found] = await session.scalars(select(Notification))
    assert (found.board_id, found.task_id) == (world.board.id, None)
    assert found.data["is_note"] is (tags is None)
    assert found.data["memory_id"] == str(note.note.id)


@pytest.mark.parametrize(
    ("hours", "count"), [(25, 0), (23, 1), (1, 1), (-1, 1), (-24 * 6, 1), (-24 * 8, 0)]
)
async def test_people_are_reminded_a_day_before_and_after(session, world, hours, count) -> None:
    due_at = now() + timedelta(hours=hours)
    await make_task(session, world, assigned_user_id=world.bob.id, due_at=due_at)
    assert [await remind_of_due_dates(session) for _ in range(2)] == [count, 0]
    assert await list_told(session, world) == [("Bob", Kind.DUE_SOON)] * count


async def test_each_due_date_has_its_own_reminders(session, world, monkeypatch) -> None:
    start = now()
    task = await make_task(
        session, world, assigned_user_id=world.bob.id, due_at=start + timedelta(hours=10)
    )
    await remind_of_due_dates(session)
    monkeypatch.setattr(
        "services.tasks.user_notifications.now", lambda: start + timedelta(hours=11)
    )
    assert [await remind_of_due_dates(session) for _ in range(2)] == [1, 0]
    found = [
        (one.data["is_overdue"], one.resolved_at is None)
        for one in await session.scalars(select(Notification).order_by(Notification.created_at))
    ]
    assert found == [(False, True), (True, True)]
    later = start + timedelta(hours=20)
    await change(session, world, world.alice, task, due_at=later)
    assert (
        await session.scalar(select(Notification.id).where(Notification.resolved_at.is_(None)))
        is None
    )
    assert await remind_of_due_dates(session) == 1


async def test_nobody_is_reminded_of_what_is_done_or_of_an_agent(session, world) -> None:
    due_at = now() + timedelta(hours=1)
    done = {"status": Status.DONE, "done_at": now()}
    await make_task(session, world, assigned_user_id=world.bob.id, due_at=due_at, **done)
    await make_task(session, world, assigned_agent_id=world.worker.id, due_at=due_at)
    await make_task(session, world, due_at=due_at)
    assert not await tasks.has_due_reminders(session)
    assert await remind_of_due_dates(session) == 0


async def test_a_done_task_ends_its_reminder(session, world) -> None:
    due_at = now() + timedelta(hours=1)
    task = await make_task(session, world, assigned_user_id=world.bob.id, due_at=due_at)
    assert await tasks.has_due_reminders(session)
    await remind_of_due_dates(session)
    await change(session, world, world.bob, task, status="done")
    [found] = await session.scalars(select(Notification))
    assert found.resolved_at is not None


async def test_an_undone_change_brings_the_reminder_back(session, world) -> None:
    due_at = now() + timedelta(hours=1)
    task = await make_task(session, world, assigned_user_id=world.bob.id, due_at=due_at)
    await remind_of_due_dates(session)
    query = select(Notification).where(Notification.kind == Kind.DUE_SOON)
    found = (await session.scalars(query)).one()
    for changed, undone in (
        ({"status": "done"}, {"status": "inbox"}),
        ({"due_at": due_at + timedelta(days=3)}, {"due_at": due_at}),
        ({"assigned_user_id": world.rita.id}, {"assigned_user_id": world.bob.id}),
    ):
        await change(session, world, world.alice, task, **changed)
        await session.refresh(found)
        assert found.resolved_at is not None
        await change(session, world, world.alice, task, **undone)
        await session.refresh(found)
        assert found.resolved_at is None
