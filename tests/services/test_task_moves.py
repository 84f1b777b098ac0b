"""Moving a task: what changes, what is written down, and what stays as it was."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from kit.clock import now
from kit.errors import Conflict, Forbidden, Invalid, NotFound
from models import ApprovalStatus, Comment, Event, EventType, Status, Task, TaskDependency
from services import boards, messages, tasks
from tests.services.asked import asking

INBOX, IN_PROGRESS, REVIEW, DONE = Status
AGO = timedelta(hours=1)


async def events(session):
    """Return what happened, but for what was told of it."""
    happened = select(Event).where(Event.type.not_in(messages.EVENTS))
    return (await session.scalars(happened.order_by(Event.seq))).all()


async def add(session, world, **fields):
    task = world.task(**fields)
    session.add(task)
    await session.flush()
    return task


async def test_a_worker_claims_a_task_by_starting_it(session, world) -> None:
    task = await add(session, world)
    found = await tasks.change(
        session, world.worker, world.board, task.id, {"status": "in_progress"}
    )

    assert found.task is task
    assert found.assignee is not None
    assert found.assignee.id == task.assigned_agent_id == world.worker.id
    assert task.status is IN_PROGRESS
    assert task.in_progress_at is not None
    assert task.in_progress_at == task.started_at == task.updated_at
    [event] = await events(session)
    assert event.type is EventType.TASK_STATUS_CHANGED
    assert (event.board_id, event.task_id) == (world.board.id, task.id)
    assert (event.agent_id, event.user_id) == (world.worker.id, None)
    assert event.data == {
        "title": task.title,
        "left": "inbox",
        "entered": "in_progress",
        "changes": {"assigned_agent_id": [None, str(world.worker.id)]},
    }


async def test_a_task_that_is_started_again_keeps_its_start(session, world) -> None:
    began = now() - AGO
    task = await add(
        session,
        world,
        status=IN_PROGRESS,
        assigned_agent_id=world.worker.id,
        in_progress_at=began,
        started_at=began,
    )
    for actor in (world.worker, world.alice):
        await tasks.change(session, actor, world.board, task.id, {"status": "in_progress"})
    assert (task.in_progress_at, task.started_at) == (began, began)

    await tasks.change(session, world.worker, world.board, task.id, {"status": "inbox"})
    assert (task.assigned_agent_id, task.in_progress_at) == (None, None)
    assert task.previous_in_progress_at == began
    await tasks.change(session, world.worker, world.board, task.id, {"status": "in_progress"})
    assert task.in_progress_at > began
    assert task.started_at == began


async def test_the_lead_reviews_and_a_rejected_task_goes_back_to_its_worker(session, world) -> None:
    """C4."""
    task = await add(session, world)
    for status in ("in_progress", "review"):
        await tasks.change(session, world.worker, world.board, task.id, {"status": status})
    assert task.assigned_agent_id == world.lead.id
    assert task.in_progress_at is None

    await tasks.change(session, world.lead, world.board, task.id, {"status": "inbox"})
    assert (task.status, task.assigned_agent_id) == (INBOX, world.worker.id)


@pytest.mark.parametrize("named", ["other_worker", None])
async def test_a_lead_that_rejects_may_say_who_goes_on(session, world, named) -> None:
    task = await add(session, world, status=REVIEW, previous_assignee_id=world.worker.id)
    someone = getattr(world, named).id if named else None
    changes = {"status": "inbox", "assigned_agent_id": someone}
    await tasks.change(session, world.lead, world.board, task.id, changes)
    assert task.assigned_agent_id == someone


async def test_a_task_that_a_person_moves_to_the_inbox_is_nobodys(session, world) -> None:
    fields = {"assigned_agent_id": world.lead.id, "previous_assignee_id": world.worker.id}
    task = await add(session, world, status=REVIEW, **fields)
    await tasks.change(session, world.alice, world.board, task.id, {"status": "inbox"})
    assert task.assigned_agent_id is None


async def test_a_worker_that_has_left_the_board_gets_nothing_back(session, world) -> None:
    task = await add(session, world, status=REVIEW, previous_assignee_id=world.gardener.id)
    await tasks.change(session, world.lead, world.board, task.id, {"status": "inbox"})
    assert task.assigned_agent_id is None


async def test_a_task_that_a_person_moves_to_review_also_knows_its_worker(session, world) -> None:
    task = await add(session, world, status=IN_PROGRESS, assigned_agent_id=world.worker.id)
    await tasks.change(session, world.alice, world.board, task.id, {"status": "review"})
    assert task.assigned_agent_id == world.lead.id
    for status in ("in_progress", "review"):
        await tasks.change(session, world.alice, world.board, task.id, {"status": status})
    await tasks.change(session, world.lead, world.board, task.id, {"status": "inbox"})
    assert task.assigned_agent_id == world.worker.id


async def test_review_without_a_lead_is_nobodys_or_whoevers_is_named(session, world) -> None:
    task = await add(session, world, status=IN_PROGRESS, assigned_agent_id=world.worker.id)
    session.add(world.lead)
    world.lead.is_board_lead = False
    await tasks.change(session, world.worker, world.board, task.id, {"status": "review"})
    assert task.assigned_agent_id is None
    changes = {"status": "inbox", "assigned_agent_id": world.other_worker.id}
    await tasks.change(session, world.alice, world.board, task.id, changes)
    assert (task.status, task.assigned_agent_id) == (INBOX, world.other_worker.id)


async def test_a_lead_assigns_and_starts_at_once(session, world) -> None:
    task = await add(session, world)
    changes = {"status": "in_progress", "assigned_agent_id": world.worker.id}
    await tasks.change(session, world.lead, world.board, task.id, changes)
    assert task.assigned_agent_id == world.worker.id
    assert task.in_progress_at is not None


@pytest.mark.parametrize("who", ["alice", "lead"])
async def test_a_task_in_progress_that_is_taken_away_goes_to_the_inbox(session, world, who) -> None:
    """C43."""
    task = await add(session, world, status=IN_PROGRESS, assigned_agent_id=world.worker.id)
    changes = {"assigned_agent_id": None}
    await tasks.change(session, getattr(world, who), world.board, task.id, changes)
    assert (task.status, task.assigned_agent_id) == (INBOX, None)
    [event] = await events(session)
    assert (event.data["left"], event.data["entered"]) == ("in_progress", "inbox")


async def test_a_done_task_knows_when_it_was_done_until_it_is_reopened(session, world) -> None:
    task = await add(session, world)
    await tasks.change(session, world.worker, world.board, task.id, {"status": "done"})
    done_at = task.done_at
    assert task.assigned_agent_id == world.worker.id
    await tasks.change(session, world.alice, world.board, task.id, {"status": "done"})
    assert task.done_at == done_at is not None
    await tasks.change(session, world.alice, world.board, task.id, {"status": "review"})
    assert task.done_at is None


async def test_a_comment_comes_with_the_move_and_is_told_first(session, world) -> None:
    task = await add(session, world)
    changes = {"status": "done", "comment": " Shipped. "}
    found = await tasks.change(session, world.alice, world.board, task.id, changes)
    assert found.comments_count == 1
    comment = await session.scalar(select(Comment))
    assert (comment.message, comment.user_id, comment.agent_id) == (
        "Shipped.",
        world.alice.id,
        None,
    )
    said, moved = await events(session)
    assert (said.type, moved.type) == (EventType.TASK_COMMENT, EventType.TASK_STATUS_CHANGED)
    assert said.id == comment.id


async def test_review_is_open_to_who_commented_since_they_began(session, world) -> None:
    began = now() - AGO
    held = {"assigned_agent_id": world.worker.id, "in_progress_at": began, "status": IN_PROGRESS}
    task = await add(session, world, **held)
    session.add(world.board)
    world.board.comment_required_for_review = True

    def said(by, ago):
        written = {"board_id": world.board.id, "created_at": began - ago}
        session.add(Comment(task=task, message="Going on.", agent_id=by.id, **written))

    said(world.worker, AGO)
    said(world.other_worker, -AGO / 2)
    for actor in (world.worker, world.alice):
        with pytest.raises(Invalid) as refused:
            await tasks.change(session, actor, world.board, task.id, {"status": "review"})
        assert refused.value.field == "comment"
    said(world.worker, -AGO / 2)
    await tasks.change(session, world.worker, world.board, task.id, {"status": "review"})
    assert task.status is REVIEW


async def test_a_refused_change_changes_and_records_nothing(session, world) -> None:
    """R4."""
    first, second = await add(session, world), await add(session, world)
    position = {"board_id": world.board.id, "created_at": now()}
    session.add(TaskDependency(task=second, depends_on=first, **position))
    changes = {"status": "done", "comment": "Done."}
    for actor in (world.alice, world.worker):
        with pytest.raises(Conflict) as refused:
            await tasks.change(session, actor, world.board, second.id, changes)
        assert refused.value.details == {"blocked_by_task_ids": [str(first.id)]}
    assert (second.status, second.version) == (INBOX, 1)
    assert await events(session) == []
    assert await session.scalar(select(Comment)) is None


async def test_an_approval_opens_done_once(session, world) -> None:
    """C12."""
    session.add(world.board)
    world.board.require_approval_for_done = True
    task, other = await add(session, world), await add(session, world)

    async def done() -> None:
        await tasks.change(session, world.alice, world.board, task.id, {"status": "done"})

    session.add_all(world.approval(other, status=ApprovalStatus.APPROVED))
    with pytest.raises(Conflict, match="approved"):
        await done()
    session.add_all(world.approval(other, task, status=ApprovalStatus.APPROVED))
    await done()
    await tasks.change(session, world.alice, world.board, task.id, {"status": "review"})
    with pytest.raises(Conflict, match="approved"):
        await done()
    session.add_all(world.approval(task, status=ApprovalStatus.APPROVED))
    await done()


@pytest.mark.parametrize("to", ["inbox", "in_progress"])
async def test_an_approval_does_not_count_for_what_is_done_anew_after_it(
    session, world, to
) -> None:
    """C12: a person has agreed to what was there, and not to what comes of it later."""
    session.add(world.board)
    world.board.require_approval_for_done = True
    task = await add(session, world)

    async def move(status) -> None:
        await tasks.change(session, world.alice, world.board, task.id, {"status": status})

    await move("in_progress")
    session.add_all(world.approval(task, status=ApprovalStatus.APPROVED))
    await move("review")
    for status in (to, "review"):
        await move(status)
    with pytest.raises(Conflict, match="approved"):
        await move("done")
    session.add_all(world.approval(task, status=ApprovalStatus.APPROVED))
    await move("done")


async def test_a_rejection_that_came_later_closes_done(session, world) -> None:
    """C12."""
    session.add(world.board)
    world.board.require_approval_for_done = True
    task = await add(session, world)
    for status, ago in [(ApprovalStatus.APPROVED, AGO), (ApprovalStatus.REJECTED, AGO / 2)]:
        session.add_all(world.approval(task, status=status, resolved_at=now() - ago))
    with pytest.raises(Conflict) as refused:
        await tasks.change(session, world.alice, world.board, task.id, {"status": "done"})
    assert refused.value.code == "approval_required"


async def test_a_change_of_nothing_is_written_down_too(session, world) -> None:
    task = await add(session, world)
    before = task.updated_at
    await tasks.change(session, world.alice, world.board, task.id, {})
    assert task.updated_at > before
    assert task.version == 2
    [event] = await events(session)
    assert (event.type, event.data["changes"]) == (EventType.TASK_UPDATED, {})


async def test_what_was_changed_is_told_with_what_it_was(session, world) -> None:
    task = await add(session, world)
    due = now()
    changes = {"title": "Better", "priority": "high", "due_at": due, "description": "x" * 900}
    await tasks.change(session, world.alice, world.board, task.id, changes)
    [event] = await events(session)
    told = event.data["changes"]
    assert told["title"] == ["Write the report", "Better"]
    assert told["priority"] == ["medium", "high"]
    assert told["due_at"] == [None, due.isoformat()]
    assert len(told["description"][1]) == 500


async def test_a_task_is_judged_as_it_stands_not_as_it_was_once_read(session, world) -> None:
    task = await add(session, world)
    claimed = {"status": IN_PROGRESS, "assigned_agent_id": world.other_worker.id}
    await session.execute(update(Task).values(claimed).execution_options(synchronize_session=False))
    with pytest.raises(Conflict) as refused:
        await tasks.change(session, world.worker, world.board, task.id, {"status": "in_progress"})
    assert refused.value.code == "task_already_claimed"


async def test_strangers_and_other_boards_are_refused(session, world) -> None:
    task = await add(session, world)
    with pytest.raises(NotFound):
        await boards.hold(session, world.charlie, world.board.id)
    with pytest.raises(Forbidden):
        await boards.hold(session, world.rita, world.board.id)
    for board, actor in [(world.charlies_board, world.charlie), (world.garden, world.alice)]:
        for ask in asking(session, actor, board, task.id):
            with pytest.raises(NotFound):
                await ask
    assert (task.title, task.version) == ("Write the report", 1)
    theirs = {"assigned_agent_id": world.charlies_worker.id}
    with pytest.raises(NotFound):
        await tasks.change(session, world.alice, world.board, task.id, theirs)
