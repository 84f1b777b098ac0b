"""Creating tasks: permissions, stored values and rejected input."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import func, select, text

from core.clock import now
from core.errors import Conflict, Forbidden, Invalid, NotFound
from models import Event, EventType, Priority, Status, Tag, Task, new_id
from services import tasks
from services.tasks import TaskCreate


async def add_tag(session, organization, name):
    fields = {"name": name, "slug": name.lower(), "created_at": now(), "updated_at": now()}
    tag = Tag(id=new_id(), organization_id=organization.id, color="ff0000", **fields)
    session.add(tag)
    await session.flush()
    return tag


async def test_a_user_creates_a_task(session, world) -> None:
    red, blue = (
        await add_tag(session, world.tern, "Red"),
        await add_tag(session, world.tern, "Blue"),
    )
    first = await tasks.create_task(session, world.alice, world.board, TaskCreate(title="First"))
    found = await tasks.create_task(
        session,
        world.bob,
        world.board,
        TaskCreate(
            title=" Write ",
            description="All of it",
            priority="high",
            due_at=datetime(2026, 5, 1),
            depends_on_task_ids=[first.task.id],
            tag_ids=[red.id, blue.id],
            created_by_user_id=world.alice.id,
        ),
    )
    task = found.task
    assert (task.title, task.description, task.status) == ("Write", "All of it", Status.INBOX)
    assert (task.priority, task.due_at) == (Priority.HIGH, datetime(2026, 5, 1, tzinfo=UTC))
    assert task.created_by_user_id == world.bob.id
    assert (task.auto_created, task.auto_reason, task.version) == (False, None, 1)
    assert found.depends_on_task_ids == found.blocked_by_task_ids == [first.task.id]
    assert [tag.name for tag in found.tags] == ["Red", "Blue"]
    event = await session.scalar(select(Event).where(Event.task_id == task.id))
    assert (event.type, event.user_id) == (EventType.TASK_CREATED, world.bob.id)
    assert event.data["title"] == "Write"


async def test_times_do_not_depend_on_the_database_time_zone(session, world) -> None:
    """C19."""
    await session.execute(text("set local timezone to 'America/New_York'"))
    due_at = datetime(2026, 5, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    draft = TaskCreate(title="Write", due_at=due_at)
    made = (await tasks.create_task(session, world.alice, world.board, draft)).task
    await session.refresh(made)
    assert made.due_at == due_at
    assert abs(made.created_at - now()) < timedelta(minutes=1)


async def test_a_lead_creates_a_task_for_a_worker(session, world) -> None:
    draft = TaskCreate(
        title="Test it",
        assigned_agent_id=world.worker.id,
        created_by_user_id=world.alice.id,
    )
    task = (await tasks.create_task(session, world.lead, world.board, draft)).task
    assert task.assigned_agent_id == world.worker.id
    assert task.created_by_user_id is None
    assert (task.auto_created, task.auto_reason) == (True, f"lead_agent:{world.lead.id}")


async def test_workers_and_leads_of_other_boards_cannot_create_tasks(session, world) -> None:
    session.add(world.gardener)
    world.gardener.is_board_lead = True
    for agent in (world.worker, world.gardener):
        with pytest.raises(Forbidden) as error_info:
            await tasks.create_task(session, agent, world.board, TaskCreate(title="Mine"))
        assert error_info.value.code == "lead_required"


async def test_a_task_can_be_created_in_any_status_as_if_moved_there(session, world) -> None:
    """C7."""

    async def made(status):
        draft = TaskCreate(title="A", status=status, assigned_agent_id=world.worker.id)
        return (await tasks.create_task(session, world.alice, world.board, draft)).task

    started, reviewed, done = [await made(status) for status in list(Status)[1:]]
    assert started.in_progress_at == started.started_at == started.created_at
    assert started.assigned_agent_id == done.assigned_agent_id == world.worker.id
    assert reviewed.assigned_agent_id == world.lead.id
    assert done.done_at == done.created_at


async def test_creating_a_task_respects_the_status_guards_of_the_board(session, world) -> None:
    """C7."""
    session.add(world.board)
    world.board.require_approval_for_done = world.board.comment_required_for_review = True
    for status, refusal in [(Status.DONE, Conflict), (Status.REVIEW, Invalid)]:
        draft = TaskCreate(title="A", status=status)
        with pytest.raises(refusal):
            await tasks.create_task(session, world.alice, world.board, draft)
    assert await session.scalar(select(func.count()).select_from(Task)) == 0


async def test_referenced_tasks_tags_and_assignees_must_exist(session, world) -> None:
    """S5."""
    theirs = await add_tag(session, world.plover, "Theirs")
    other_board_task = Task(board_id=world.garden.id, title="E", created_at=now(), updated_at=now())
    session.add(other_board_task)
    await session.flush()
    drafts = [
        TaskCreate(title="A", depends_on_task_ids=[other_board_task.id]),
        TaskCreate(title="A", tag_ids=[theirs.id]),
        TaskCreate(title="A", assigned_agent_id=world.charlies_worker.id),
        TaskCreate(title="A", assigned_agent_id=new_id()),
    ]
    missing = [
        {"missing_task_ids": [str(other_board_task.id)]},
        {"missing_tag_ids": [str(theirs.id)]},
        {},
        {},
    ]
    for draft, details in zip(drafts, missing, strict=True):
        for actor in (world.alice, world.lead):
            with pytest.raises(NotFound) as error_info:
                await tasks.create_task(session, actor, world.board, draft)
            assert error_info.value.details == details
    for assignee, actor, refusal in [
        (world.gardener, world.alice, Conflict),
        (world.gardener, world.lead, Conflict),
        (world.lead, world.lead, Forbidden),
    ]:
        draft = TaskCreate(title="A", assigned_agent_id=assignee.id)
        with pytest.raises(refusal):
            await tasks.create_task(session, actor, world.board, draft)


async def test_creation_rejects_values_for_unknown_custom_fields(session, world) -> None:
    draft = TaskCreate(title="A", custom_field_values={"size": "L", "area": 7})
    for actor in (world.alice, world.lead):
        with pytest.raises(Invalid) as error_info:
            await tasks.create_task(session, actor, world.board, draft)
        assert error_info.value.details == {"unknown_field_keys": ["area", "size"]}
