"""Task moves: the changed columns, the recorded events, and rejected changes."""

from collections.abc import Awaitable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.paging import Paging
from models import (
    Actor,
    Agent,
    ApprovalStatus,
    Board,
    Comment,
    DesiredState,
    Event,
    EventType,
    Status,
    Task,
    TaskDependency,
)
from services import boards, tasks
from tests.support.board_helpers import MESSAGE_EVENTS

INBOX, IN_PROGRESS, REVIEW, DONE = Status
ONE_HOUR = timedelta(hours=1)


async def list_events(session):
    """Return the events, except those about messages."""
    query = select(Event).where(Event.type.not_in(MESSAGE_EVENTS))
    return (await session.scalars(query.order_by(Event.seq))).all()


async def add_task(session, world, **fields):
    task = world.make_task(**fields)
    session.add(task)
    await session.flush()
    return task


async def test_a_worker_claims_a_task_by_starting_it(session, world) -> None:
    task = await add_task(session, world)
    found = await tasks.update_task(
        session, world.worker, world.board, task.id, tasks.TaskUpdate.of(status="in_progress")
    )

    assert found.task is task
    assert found.assignee is not None
    assert found.assignee.id == task.assigned_agent_id == world.worker.id
    assert task.status is IN_PROGRESS
    assert task.in_progress_at is not None
    assert task.in_progress_at == task.started_at == task.updated_at
    [event] = await list_events(session)
    assert event.type is EventType.TASK_STATUS_CHANGED
    assert (event.board_id, event.task_id) == (world.board.id, task.id)
    assert (event.agent_id, event.user_id) == (world.worker.id, None)
    assert event.data == {
        "title": task.title,
        "left": "inbox",
        "entered": "in_progress",
        "changes": {"assigned_agent_id": [None, str(world.worker.id)]},
    }


async def test_starting_a_task_again_keeps_its_start_time(session, world) -> None:
    started_at = now() - ONE_HOUR
    task = await add_task(
        session,
        world,
        status=IN_PROGRESS,
        assigned_agent_id=world.worker.id,
        in_progress_at=started_at,
        started_at=started_at,
    )
    for actor in (world.worker, world.alice):
        await tasks.update_task(
            session, actor, world.board, task.id, tasks.TaskUpdate.of(status="in_progress")
        )
    assert (task.in_progress_at, task.started_at) == (started_at, started_at)

    await tasks.update_task(
        session, world.worker, world.board, task.id, tasks.TaskUpdate.of(status="inbox")
    )
    assert (task.assigned_agent_id, task.in_progress_at) == (None, None)
    assert task.previous_in_progress_at == started_at
    await tasks.update_task(
        session, world.worker, world.board, task.id, tasks.TaskUpdate.of(status="in_progress")
    )
    assert task.in_progress_at > started_at
    assert task.started_at == started_at


async def test_the_lead_gets_reviews_and_a_rejected_task_returns_to_its_worker(
    session, world
) -> None:
    """C4."""
    task = await add_task(session, world)
    for status in ("in_progress", "review"):
        await tasks.update_task(
            session, world.worker, world.board, task.id, tasks.TaskUpdate.of(status=status)
        )
    assert task.assigned_agent_id == world.lead.id
    assert task.in_progress_at is None

    await tasks.update_task(
        session, world.lead, world.board, task.id, tasks.TaskUpdate.of(status="inbox")
    )
    assert (task.status, task.assigned_agent_id) == (INBOX, world.worker.id)


@pytest.mark.parametrize("requested", ["other_worker", None])
async def test_a_lead_can_choose_the_assignee_of_a_rejected_task(session, world, requested) -> None:
    task = await add_task(session, world, status=REVIEW, previous_assignee_id=world.worker.id)
    new_assignee_id = getattr(world, requested).id if requested else None
    changes = {"status": "inbox", "assigned_agent_id": new_assignee_id}
    await tasks.update_task(
        session, world.lead, world.board, task.id, tasks.TaskUpdate.of(**changes)
    )
    assert task.assigned_agent_id == new_assignee_id


async def test_moving_a_task_to_the_inbox_by_a_user_unassigns_it(session, world) -> None:
    fields = {"assigned_agent_id": world.lead.id, "previous_assignee_id": world.worker.id}
    task = await add_task(session, world, status=REVIEW, **fields)
    await tasks.update_task(
        session, world.alice, world.board, task.id, tasks.TaskUpdate.of(status="inbox")
    )
    assert task.assigned_agent_id is None


async def test_a_rejected_task_is_unassigned_if_its_worker_left_the_board(session, world) -> None:
    task = await add_task(session, world, status=REVIEW, previous_assignee_id=world.gardener.id)
    await tasks.update_task(
        session, world.lead, world.board, task.id, tasks.TaskUpdate.of(status="inbox")
    )
    assert task.assigned_agent_id is None


async def test_a_rejected_task_is_unassigned_if_its_worker_is_being_removed(session, world) -> None:
    """Its gateway may be offline, so the removal can take long."""
    task = await add_task(session, world, status=REVIEW, previous_assignee_id=world.worker.id)
    removal = update(Agent).where(Agent.id == world.worker.id)
    await session.execute(removal.values(desired_state=DesiredState.GONE))
    await tasks.update_task(
        session, world.lead, world.board, task.id, tasks.TaskUpdate.of(status="inbox")
    )
    assert task.assigned_agent_id is None


async def test_a_task_moved_to_review_by_a_user_remembers_its_worker(session, world) -> None:
    task = await add_task(session, world, status=IN_PROGRESS, assigned_agent_id=world.worker.id)
    await tasks.update_task(
        session, world.alice, world.board, task.id, tasks.TaskUpdate.of(status="review")
    )
    assert task.assigned_agent_id == world.lead.id
    for status in ("in_progress", "review"):
        await tasks.update_task(
            session, world.alice, world.board, task.id, tasks.TaskUpdate.of(status=status)
        )
    await tasks.update_task(
        session, world.lead, world.board, task.id, tasks.TaskUpdate.of(status="inbox")
    )
    assert task.assigned_agent_id == world.worker.id


async def test_without_a_lead_a_task_in_review_is_unassigned(session, world) -> None:
    task = await add_task(session, world, status=IN_PROGRESS, assigned_agent_id=world.worker.id)
    session.add(world.lead)
    world.lead.is_board_lead = False
    await tasks.update_task(
        session, world.worker, world.board, task.id, tasks.TaskUpdate.of(status="review")
    )
    assert task.assigned_agent_id is None
    changes = {"status": "inbox", "assigned_agent_id": world.other_worker.id}
    await tasks.update_task(
        session, world.alice, world.board, task.id, tasks.TaskUpdate.of(**changes)
    )
    assert (task.status, task.assigned_agent_id) == (INBOX, world.other_worker.id)


async def test_a_lead_can_assign_and_start_a_task_at_once(session, world) -> None:
    task = await add_task(session, world)
    changes = {"status": "in_progress", "assigned_agent_id": world.worker.id}
    await tasks.update_task(
        session, world.lead, world.board, task.id, tasks.TaskUpdate.of(**changes)
    )
    assert task.assigned_agent_id == world.worker.id
    assert task.in_progress_at is not None


@pytest.mark.parametrize("actor_name", ["alice", "lead"])
async def test_unassigning_a_task_in_progress_returns_it_to_the_inbox(
    session, world, actor_name
) -> None:
    """C43."""
    task = await add_task(session, world, status=IN_PROGRESS, assigned_agent_id=world.worker.id)
    changes = {"assigned_agent_id": None}
    await tasks.update_task(
        session, getattr(world, actor_name), world.board, task.id, tasks.TaskUpdate.of(**changes)
    )
    assert (task.status, task.assigned_agent_id) == (INBOX, None)
    [event] = await list_events(session)
    assert (event.data["left"], event.data["entered"]) == ("in_progress", "inbox")


async def test_done_at_is_set_until_the_task_is_reopened(session, world) -> None:
    task = await add_task(session, world)
    await tasks.update_task(
        session, world.worker, world.board, task.id, tasks.TaskUpdate.of(status="done")
    )
    done_at = task.done_at
    assert task.assigned_agent_id == world.worker.id
    await tasks.update_task(
        session, world.alice, world.board, task.id, tasks.TaskUpdate.of(status="done")
    )
    assert task.done_at == done_at is not None
    await tasks.update_task(
        session, world.alice, world.board, task.id, tasks.TaskUpdate.of(status="review")
    )
    assert task.done_at is None


async def test_a_worker_does_not_take_a_task_that_is_done_already(session, world) -> None:
    task = world.make_task(status=Status.DONE, done_at=now())
    session.add(task)
    await session.flush()
    done = tasks.TaskUpdate.of(status="done")
    await tasks.update_task(session, world.worker, world.board, task.id, done)
    assert (task.status, task.assigned_agent_id) == (Status.DONE, None)


async def test_a_comment_sent_with_a_move_is_recorded_before_it(session, world) -> None:
    task = await add_task(session, world)
    changes = {"status": "done", "comment": " Shipped. "}
    found = await tasks.update_task(
        session, world.alice, world.board, task.id, tasks.TaskUpdate.of(**changes)
    )
    assert found.comments_count == 1
    comment = await session.scalar(select(Comment))
    assert (comment.message, comment.user_id, comment.agent_id) == (
        "Shipped.",
        world.alice.id,
        None,
    )
    comment_event, move_event = await list_events(session)
    assert (comment_event.type, move_event.type) == (
        EventType.TASK_COMMENT,
        EventType.TASK_STATUS_CHANGED,
    )
    assert comment_event.id == comment.id


async def test_a_comment_since_the_start_allows_the_move_to_review(session, world) -> None:
    started_at = now() - ONE_HOUR
    fields = {
        "assigned_agent_id": world.worker.id,
        "in_progress_at": started_at,
        "status": IN_PROGRESS,
    }
    task = await add_task(session, world, **fields)
    session.add(world.board)
    world.board.comment_required_for_review = True

    def add_comment(by, ago):
        written = {"board_id": world.board.id, "created_at": started_at - ago}
        session.add(Comment(task=task, message="Going on.", agent_id=by.id, **written))

    add_comment(world.worker, ONE_HOUR)
    add_comment(world.other_worker, -ONE_HOUR / 2)
    for actor in (world.worker, world.alice):
        with pytest.raises(Invalid) as error_info:
            await tasks.update_task(
                session, actor, world.board, task.id, tasks.TaskUpdate.of(status="review")
            )
        assert error_info.value.field == "comment"
    add_comment(world.worker, -ONE_HOUR / 2)
    await tasks.update_task(
        session, world.worker, world.board, task.id, tasks.TaskUpdate.of(status="review")
    )
    assert task.status is REVIEW


async def test_a_rejected_change_stores_and_records_nothing(session, world) -> None:
    """R4."""
    first, second = await add_task(session, world), await add_task(session, world)
    position = {"board_id": world.board.id, "created_at": now()}
    session.add(TaskDependency(task=second, depends_on=first, **position))
    changes = {"status": "done", "comment": "Done."}
    for actor in (world.alice, world.worker):
        with pytest.raises(Conflict) as error_info:
            await tasks.update_task(
                session, actor, world.board, second.id, tasks.TaskUpdate.of(**changes)
            )
        assert error_info.value.details == {"blocked_by_task_ids": [str(first.id)]}
    assert (second.status, second.version) == (INBOX, 1)
    assert await list_events(session) == []
    assert await session.scalar(select(Comment)) is None


async def test_an_approval_allows_done_once(session, world) -> None:
    """C12."""
    session.add(world.board)
    world.board.require_approval_for_done = True
    task, other = await add_task(session, world), await add_task(session, world)

    async def done() -> None:
        await tasks.update_task(
            session, world.alice, world.board, task.id, tasks.TaskUpdate.of(status="done")
        )

    session.add_all(world.make_approval(other, status=ApprovalStatus.APPROVED))
    with pytest.raises(Conflict, match="requires an approval"):
        await done()
    session.add_all(world.make_approval(other, task, status=ApprovalStatus.APPROVED))
    await done()
    await tasks.update_task(
        session, world.alice, world.board, task.id, tasks.TaskUpdate.of(status="review")
    )
    with pytest.raises(Conflict, match="used already"):
        await done()
    session.add_all(world.make_approval(task, status=ApprovalStatus.APPROVED))
    await done()


@pytest.mark.parametrize("new_status", ["inbox", "in_progress"])
async def test_an_approval_does_not_cover_work_done_after_it(session, world, new_status) -> None:
    """C12: the approval was given for the earlier state of the work."""
    session.add(world.board)
    world.board.require_approval_for_done = True
    task = await add_task(session, world)

    async def move(status) -> None:
        await tasks.update_task(
            session, world.alice, world.board, task.id, tasks.TaskUpdate.of(status=status)
        )

    await move("in_progress")
    session.add_all(world.make_approval(task, status=ApprovalStatus.APPROVED))
    await move("review")
    for status in (new_status, "review"):
        await move(status)
    with pytest.raises(Conflict, match="approved"):
        await move("done")
    session.add_all(world.make_approval(task, status=ApprovalStatus.APPROVED))
    await move("done")


async def test_a_later_rejection_revokes_an_approval(session, world) -> None:
    """C12."""
    session.add(world.board)
    world.board.require_approval_for_done = True
    task = await add_task(session, world)
    for status, ago in [
        (ApprovalStatus.APPROVED, ONE_HOUR),
        (ApprovalStatus.REJECTED, ONE_HOUR / 2),
    ]:
        session.add_all(world.make_approval(task, status=status, resolved_at=now() - ago))
    with pytest.raises(Conflict) as error_info:
        await tasks.update_task(
            session, world.alice, world.board, task.id, tasks.TaskUpdate.of(status="done")
        )
    assert error_info.value.code == "approval_required"


async def test_an_update_without_a_difference_is_recorded(session, world) -> None:
    task = await add_task(session, world)
    before = task.updated_at
    await tasks.update_task(session, world.alice, world.board, task.id, tasks.TaskUpdate.of())
    assert task.updated_at > before
    assert task.version == 2
    [event] = await list_events(session)
    assert (event.type, event.data["changes"]) == (EventType.TASK_UPDATED, {})


async def test_an_event_holds_the_old_and_new_values(session, world) -> None:
    task = await add_task(session, world)
    due = now()
    changes = {"title": "Better", "priority": "high", "due_at": due, "description": "x" * 900}
    await tasks.update_task(
        session, world.alice, world.board, task.id, tasks.TaskUpdate.of(**changes)
    )
    [event] = await list_events(session)
    changes_recorded = event.data["changes"]
    assert changes_recorded["title"] == ["Write the report", "Better"]
    assert changes_recorded["priority"] == ["medium", "high"]
    assert changes_recorded["due_at"] == [None, due.isoformat()]
    assert len(changes_recorded["description"][1]) == 500


async def test_rules_see_the_current_row_and_not_a_stale_object(session, world) -> None:
    task = await add_task(session, world)
    claimed = {"status": IN_PROGRESS, "assigned_agent_id": world.other_worker.id}
    await session.execute(update(Task).values(claimed).execution_options(synchronize_session=False))
    with pytest.raises(Conflict) as error_info:
        await tasks.update_task(
            session, world.worker, world.board, task.id, tasks.TaskUpdate.of(status="in_progress")
        )
    assert error_info.value.code == "task_already_claimed"


async def test_strangers_and_other_boards_get_no_access(session, world) -> None:
    task = await add_task(session, world)
    with pytest.raises(NotFound):
        await boards.lock_board(session, world.charlie, world.board.id)
    with pytest.raises(Forbidden):
        await boards.lock_board(session, world.rita, world.board.id)
    for board, actor in [(world.charlies_board, world.charlie), (world.garden, world.alice)]:
        for ask in request_task_functions(session, actor, board, task.id):
            with pytest.raises(NotFound):
                await ask
    assert (task.title, task.version) == ("Write the report", 1)
    theirs = {"assigned_agent_id": world.charlies_worker.id}
    with pytest.raises(NotFound):
        await tasks.update_task(
            session, world.alice, world.board, task.id, tasks.TaskUpdate.of(**theirs)
        )


def request_task_functions(
    session: AsyncSession, actor: Actor, board: Board, task_id: UUID
) -> Iterator[Awaitable[Any]]:
    """Ask for each thing that starts from a task's id, one after the other."""
    yield tasks.get_task_detail(session, board, task_id)
    yield tasks.update_task(session, actor, board, task_id, tasks.TaskUpdate.of(title="Mine"))
    yield tasks.list_comments(session, board, task_id, Paging())
    yield tasks.create_comment(session, actor, board, task_id, "Mine")
    yield tasks.list_history(session, board, task_id)
    yield tasks.delete_task(session, actor, board, task_id)
    yield tasks.restore_task(session, actor, board, task_id)
