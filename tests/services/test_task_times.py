"""The times of a task: when it was started and done."""

from models import Task
from services import tasks
from services.tasks import TaskCreate


async def task_times(session, world, *changes):
    """Create a task, change it as given, and return its times of being started and done."""
    created = await tasks.create_task(session, world.alice, world.board, TaskCreate(title="Write"))
    stored = []
    for actor, change in changes:
        await tasks.update_task(
            session, actor, world.board, created.task.id, tasks.TaskUpdate.of(**change)
        )
        task = await session.get_one(Task, created.task.id)
        stored.append((task.started_at, task.done_at))
    return stored


async def test_started_at_is_kept_and_done_at_is_reset(session, world) -> None:
    """W-58. C2, C3: for every actor and every way to start it."""
    starts = {"status": "in_progress", "assigned_agent_id": world.worker.id}
    stored = await task_times(
        session,
        world,
        (world.lead, starts),
        (world.worker, {"status": "in_progress"}),
        (world.worker, {"status": "review"}),
        (world.lead, {"status": "inbox"}),
        (world.worker, {"status": "in_progress"}),
        (world.worker, {"status": "done"}),
        (world.alice, {"title": "Written"}),
        (world.alice, {"status": "inbox"}),
        (world.worker, {"status": "done"}),
    )
    started, _ = stored[0]
    assert started is not None
    assert {one for one, _ in stored} == {started}
    ends = [ended for _, ended in stored]
    assert ends[:5] == [None] * 5
    assert ends[5] is not None
    assert ends[6] == ends[5]
    assert ends[7] is None
    assert ends[8] is not None
    assert ends[8] > ends[5]


async def test_a_task_may_be_created_as_started_or_done(session, world) -> None:
    """W-58."""
    for status, is_started, is_done in [
        ("inbox", False, False),
        ("in_progress", True, False),
        ("review", False, False),
        ("done", False, True),
    ]:
        draft = TaskCreate(title="Write", status=status)
        task = (await tasks.create_task(session, world.alice, world.board, draft)).task
        assert (task.started_at is not None, task.done_at is not None) == (is_started, is_done)
