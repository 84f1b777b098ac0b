"""Approvals are bound to the content that was requested and reviewed."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.clock import now
from core.errors import Conflict
from models import Approval, ApprovalTask, EventType, PolicyEffect, PolicyVerdict, Status
from services import approvals, boards, tasks
from services.approvals import ApprovalCreate
from tests.support.approval_helpers import (
    APPROVED,
    REJECTED,
    add_approval,
    decide_approval,
    list_recorded_events,
)

DONE = {"status": "done"}


@pytest.fixture
def board(session, world):
    """Launch, on which a task is done once somebody has approved it."""
    session.add(world.board)
    world.board.require_approval_for_done = True
    return world.board


async def request_approval(session, world, *rows, **fields):
    board = await boards.lock_board(session, world.worker, world.board.id)
    given: dict[str, Any] = {"action_type": "task.complete", "lead_reasoning": "Done."}
    task_ids = [task.id for task in rows]
    draft = ApprovalCreate(**(given | fields), confidence=90, task_ids=task_ids)
    return await approvals.request_approval(session, world.worker, board, draft)


async def get_hash(session, detail) -> str:
    id = detail.approval.id
    contents = await approvals.load_current_contents(session, [id])
    return approvals.hash_current_action(detail.approval, contents.get(id, ()))


async def add_task(session, world, title="Write", **fields):
    task = world.make_task(title, **fields)
    session.add(task)
    await session.flush()
    return task


async def update(session, world, task, actor=None, /, **changes):
    return await tasks.update_task(
        session, actor or world.alice, world.board, task.id, tasks.TaskUpdate.of(**changes)
    )


async def refuse(session, world, task, actor=None, /, **changes) -> Conflict:
    with pytest.raises(Conflict) as raised:
        await update(session, world, task, actor, **(changes or DONE))
    assert raised.value.code == "approval_required"
    return raised.value


async def approve(session, world, detail, **fields):
    return await approvals.decide_with_undo(
        session, world.bob, detail.approval.id, status=APPROVED, undo_seconds=0, **fields
    )


async def test_an_approval_of_another_kind_does_not_allow_done(session, world, board) -> None:
    """An approval for the choice of a spelling let all three tasks be moved to done."""
    rows = [await add_task(session, world, title) for title in ("One", "Two", "Three")]
    detail = await request_approval(session, world, *rows, action_type="spelling.choice")
    assert not detail.completes_tasks
    await approve(session, world, detail)
    for task in rows:
        error = await refuse(session, world, task)
        assert error.details["reason"] == "kind"
        assert "spelling.choice" in error.message


async def test_the_decider_can_say_that_it_also_completes_the_tasks(session, world, board) -> None:
    task = await add_task(session, world)
    detail = await request_approval(session, world, task, action_type="spelling.choice")
    detail = await approve(session, world, detail, completes_tasks=True)
    assert detail.completes_tasks
    assert (await update(session, world, task, **DONE)).task.status is Status.DONE


async def test_the_decider_can_say_that_it_does_not_complete_the_tasks(
    session, world, board
) -> None:
    task = await add_task(session, world)
    await approve(
        session, world, await request_approval(session, world, task), completes_tasks=False
    )
    assert (await refuse(session, world, task)).details["reason"] == "kind"


async def test_an_undone_decision_leaves_no_completion(session, world, board) -> None:
    task = await add_task(session, world)
    detail = await request_approval(session, world, task, action_type="deploy")
    await approvals.decide_with_undo(
        session,
        world.bob,
        detail.approval.id,
        status=APPROVED,
        completes_tasks=True,
        undo_seconds=8,
    )
    undone = await approvals.undo_decision(session, world.bob, detail.approval.id)
    assert not undone.completes_tasks


@pytest.mark.parametrize("kind", ["complete_task", "Mark-Done", "taskDone", "task.move_to_done"])
async def test_synonyms_of_completing_a_task_allow_done(session, world, board, kind) -> None:
    task = await add_task(session, world)
    await approve(session, world, await request_approval(session, world, task, action_type=kind))
    await update(session, world, task, **DONE)


async def test_the_status_and_its_company_do_not_change_the_content(session, world, board) -> None:
    task = await add_task(session, world)
    await approve(session, world, await request_approval(session, world, task))
    await update(session, world, task, world.worker, status="in_progress")
    await update(session, world, task, world.worker, status="review", comment="Look.")
    await update(session, world, task, priority="high", due_at=now())
    await update(session, world, task, **DONE)


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"title": "Delete"}, "title"), ({"description": "Everything"}, "description")],
)
async def test_a_changed_task_needs_another_approval(session, world, board, changes, field) -> None:
    task = await add_task(session, world)
    await approve(session, world, await request_approval(session, world, task))
    error = await refuse(session, world, task, **changes, **DONE)
    assert (error.details["reason"], error.details["changed"]) == ("content", [field])
    assert "send these changes first" in error.message
    await update(session, world, task, **changes)
    error = await refuse(session, world, task)
    assert (error.details["reason"], error.details["changed"]) == ("content", [field])
    await approve(session, world, await request_approval(session, world, task))
    await update(session, world, task, **DONE)


async def test_a_changed_custom_field_needs_another_approval(session, world, board) -> None:
    rows = world.make_custom_field(field_key="target")
    session.add_all(rows)
    task = await add_task(session, world)
    await update(session, world, task, custom_field_values={"target": "staging"})
    await approve(session, world, await request_approval(session, world, task))
    changes = {"custom_field_values": {"target": "production"}}
    assert (await refuse(session, world, task, world.worker, **changes, **DONE)).details[
        "changed"
    ] == ["fields.target"]
    await update(session, world, task, world.worker, **changes)
    assert (await refuse(session, world, task)).details["changed"] == ["fields.target"]
    await update(session, world, task, custom_field_values={"target": "staging"})
    await update(session, world, task, **DONE)


async def test_an_approval_is_used_once_per_task(session, world, board) -> None:
    one, two = await add_task(session, world, "One"), await add_task(session, world, "Two")
    detail = await request_approval(session, world, one, two)
    await approve(session, world, detail)
    await update(session, world, one, **DONE)
    links = {row.task_id: bool(row.used_at) for row in await session.scalars(select(ApprovalTask))}
    assert links == {one.id: True, two.id: False}
    moved = (await list_recorded_events(session))[-1]
    assert moved.data["approval_id"] == str(detail.approval.id)
    await update(session, world, one, status="inbox")
    assert (await refuse(session, world, one)).details["reason"] == "used"
    await update(session, world, two, **DONE)


async def test_an_expired_approval_allows_nothing(session, world, board) -> None:
    task = await add_task(session, world)
    detail = await request_approval(session, world, task)
    detail.approval.expires_at = now() + timedelta(hours=1)
    await approve(session, world, detail)
    detail.approval.expires_at = now() - timedelta(seconds=1)
    assert (await refuse(session, world, task)).details["reason"] == "expired"
    other = await request_approval(session, world, task, action_type="deploy")
    other.approval.expires_at = now() - timedelta(seconds=1)
    with pytest.raises(Conflict) as raised:
        await approve(session, world, other)
    assert raised.value.code == "approval_expired"
    await decide_approval(session, world.bob, other.approval, REJECTED)


async def test_an_approval_without_recorded_content_does_not_allow_done(
    session, world, board
) -> None:
    task = world.make_task()
    await add_approval(session, world, task, status=APPROVED, action_hash=None)
    [link] = await session.scalars(select(ApprovalTask))
    link.content = link.content_hash = None
    assert (await refuse(session, world, task)).details["reason"] == "unknown_content"


async def test_an_old_pending_approval_is_bound_when_it_is_decided(session, world, board) -> None:
    """Nobody knows what was requested, so the decision must say what it is about."""
    task = world.make_task()
    approval = await add_approval(session, world, task, action_hash=None, requested_hash=None)
    [link] = await session.scalars(select(ApprovalTask))
    link.content = link.content_hash = None
    with pytest.raises(Conflict) as raised:
        await decide_approval(session, world.bob, approval, undo_seconds=0)
    assert raised.value.code == "approval_content_changed"
    assert "may have changed" in raised.value.message
    seen = str(raised.value.details["action_hash"])
    await approvals.decide_with_undo(
        session, world.bob, approval.id, status=APPROVED, action_hash=seen, undo_seconds=0
    )
    hashes = [approval.action_hash, link.content_hash]
    assert all(hashes)
    await update(session, world, task, **DONE)


class TestChangedContent:
    """The content changes between the request and the decision."""

    async def change_after_request(self, session, world):
        task = await add_task(session, world)
        detail = await request_approval(session, world, task)
        await update(session, world, task, title="Delete")
        return task, await approvals.get_approval(session, world.board, detail.approval.id)

    async def test_nothing_unseen_is_approved(self, session, world, board) -> None:
        task, detail = await self.change_after_request(session, world)
        assert [one.is_changed for one in detail.tasks] == [True]
        with pytest.raises(Conflict) as raised:
            await approve(session, world, detail)
        error = raised.value
        assert error.code == "approval_content_changed"
        assert error.message.endswith("has changed. Read it again, then decide. Changed: title.")
        current = await get_hash(session, detail)
        assert error.details == {
            "changed": [{"task_id": str(task.id), "title": "Delete", "fields": ["title"]}],
            "action_hash": current,
            "request": {
                "method": "PATCH",
                "path": f"/api/v1/boards/{world.board.id}/approvals/{detail.approval.id}",
                "body": {"status": "approved", "action_hash": current},
            },
        }
        assert detail.is_undecided

    async def test_the_hash_that_was_seen_approves_the_new_content(
        self, session, world, board
    ) -> None:
        task, detail = await self.change_after_request(session, world)
        seen = await get_hash(session, detail)
        decided = await approve(session, world, detail, action_hash=seen.upper())
        assert [one.is_changed for one in decided.tasks] == [False]
        assert decided.approval.action_hash == seen
        await update(session, world, task, **DONE)

    async def test_an_outdated_hash_approves_nothing(self, session, world, board) -> None:
        task, detail = await self.change_after_request(session, world)
        seen = await get_hash(session, detail)
        await update(session, world, task, title="Delete everything")
        with pytest.raises(Conflict):
            await approve(session, world, detail, action_hash=seen)

    async def test_a_changed_request_can_be_rejected(self, session, world, board) -> None:
        _, detail = await self.change_after_request(session, world)
        rejected = await decide_approval(session, world.bob, detail.approval, REJECTED)
        assert rejected.shown_status is REJECTED

    async def test_a_deleted_task_changes_the_action(self, session, world, board) -> None:
        one, two = await add_task(session, world, "One"), await add_task(session, world, "Two")
        detail = await request_approval(session, world, one, two)
        await tasks.delete_task(session, world.alice, world.board, two.id)
        with pytest.raises(Conflict) as raised:
            await approve(session, world, detail)
        assert raised.value.details["changed"] == []

    async def test_an_undone_approval_is_not_what_was_requested(
        self, session, world, board
    ) -> None:
        _, detail = await self.change_after_request(session, world)
        seen = await get_hash(session, detail)
        id = detail.approval.id
        await approvals.decide_with_undo(
            session, world.bob, id, status=APPROVED, action_hash=seen, undo_seconds=8
        )
        await approvals.undo_decision(session, world.bob, id)
        for user in (world.alice, world.bob):
            locked = await boards.lock_board(session, user, world.board.id)
            with pytest.raises(Conflict) as raised:
                await approvals.decide_immediately(session, user, locked, id, APPROVED)
            assert raised.value.code == "approval_content_changed"
            assert raised.value.details["action_hash"] == seen
        decided = await approvals.decide_immediately(
            session, world.alice, locked, id, APPROVED, action_hash=seen
        )
        assert decided.approval.status is APPROVED

    async def test_content_that_is_as_requested_again_needs_no_hash(
        self, session, world, board
    ) -> None:
        task, detail = await self.change_after_request(session, world)
        seen = await get_hash(session, detail)
        id = detail.approval.id
        await approvals.decide_with_undo(
            session, world.bob, id, status=APPROVED, action_hash=seen, undo_seconds=8
        )
        await approvals.undo_decision(session, world.bob, id)
        await update(session, world, task, title="Write")
        decided = await decide_approval(session, world.alice, detail.approval)
        assert decided.approval.action_hash == decided.approval.requested_hash != seen

    async def test_a_repetition_without_hash_does_not_end_the_undo_time(
        self, session, world, board
    ) -> None:
        _, detail = await self.change_after_request(session, world)
        seen = await get_hash(session, detail)
        id = detail.approval.id
        await approvals.decide_with_undo(
            session, world.alice, id, status=APPROVED, action_hash=seen, undo_seconds=8
        )
        locked = await boards.lock_board(session, world.alice, world.board.id)

        async def repeat(**fields):
            return await approvals.decide_immediately(
                session, world.alice, locked, id, APPROVED, **fields
            )

        with pytest.raises(Conflict) as raised:
            await repeat()
        assert raised.value.details["action_hash"] == seen
        assert (await repeat(action_hash=seen)).approval.status is APPROVED
        assert (await repeat()).approval.status is APPROVED  # it changes nothing

    async def test_several_decisions_are_checked_each(self, session, world, board) -> None:
        _, changed = await self.change_after_request(session, world)
        same = await request_approval(session, world, await add_task(session, world, "Same"))
        ids = [changed.approval.id, same.approval.id]

        async def decide(**fields):
            results = await approvals.decide_many_with_undo(
                session, world.bob, ids, status=APPROVED, undo_seconds=0, **fields
            )
            return [one.error.code if one.error else None for one in results]

        assert await decide() == ["approval_content_changed", None]
        seen = await get_hash(session, changed)
        assert await decide(action_hashes={changed.approval.id: seen}) == [None, None]


async def test_a_refused_bulk_decision_does_not_change_what_was_reviewed(
    session, world, board
) -> None:
    two = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Two")
    task = await add_task(session, world)
    detail = await request_approval(session, world, task)
    approval = detail.approval
    approval.policy_verdict, approval.requested_by_user_id = two, world.alice.id
    await decide_approval(session, world.bob, approval)
    await update(session, world, task, description="Another one.")

    columns = (Approval.action_hash, ApprovalTask.content, ApprovalTask.content_hash)
    reviewed = select(*columns).join(ApprovalTask)
    before = (await session.execute(reviewed)).all()
    hashes = {approval.id: await get_hash(session, detail)}
    [refused] = await approvals.decide_many_with_undo(
        session, world.alice, [*hashes], status=APPROVED, action_hashes=hashes, undo_seconds=8
    )
    assert (refused.error and refused.error.code) == "requester_may_not_approve"
    assert (await session.execute(reviewed)).all() == before


async def test_tasks_that_an_approval_would_unblock_are_listed(session, world, board) -> None:
    one, two = await add_task(session, world, "One"), await add_task(session, world, "Two")
    later = await add_task(session, world, "Later")
    for task, waits_for in ((later, one), (later, two), (two, one)):
        known = [row.id for row in (one, two) if row is waits_for or task is later]
        await update(session, world, task, depends_on_task_ids=known)
    detail = await request_approval(session, world, one)
    assert [task.title for task in detail.unblocks] == ["Two", "Later"]
    both = await request_approval(session, world, two, action_type="deploy")
    assert [task.title for task in both.unblocks] == ["Later"]


async def test_the_words_of_the_requester_are_not_the_headline(session, world, board) -> None:
    task = await add_task(session, world, "Delete the database")
    payload = {"title": "Fix a typo", "reason": "It is small."}
    detail = await request_approval(session, world, task, payload=payload)
    assert detail.question == "Complete the task “Delete the database”?"
    assert detail.agent_text == "Fix a typo"
    [event] = [
        one
        for one in await list_recorded_events(session)
        if one.type is EventType.APPROVAL_REQUESTED
    ]
    assert event.data["question"] == detail.question
