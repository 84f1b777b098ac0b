"""Guards of a board: what must be done before a task may move."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.clock import now
from core.errors import AppError, Invalid
from models import ApprovalStatus, Status, new_id
from services.approval_actions import hash_content
from services.tasks.change_request import DonePermission, LinkedApproval
from services.tasks.done_approvals import find_permission
from services.tasks.rules import check_creation
from tests.support.task_changes import (
    BLOCKED,
    DONE,
    IN_PROGRESS,
    INBOX,
    REVIEW,
    error_code,
    make_change,
    raised_error,
    world,
)

APPROVED, REJECTED = ApprovalStatus.APPROVED, ApprovalStatus.REJECTED
EARLIER = now() - timedelta(hours=1)
__all__ = ["world"]


def test_a_board_can_block_moves_while_an_approval_is_pending(world) -> None:
    pending: dict[str, Any] = {"approval_pending": True}
    moves = [(world.alice, INBOX, DONE), (world.worker, INBOX, DONE), (world.lead, REVIEW, DONE)]
    for actor, old_status, new_status in moves:
        assert (
            error_code(make_change(world, actor, old_status, status=new_status, **pending)) is None
        )
    world.board.block_status_changes_with_pending_approval = True
    for actor, old_status, new_status in moves:
        error = raised_error(make_change(world, actor, old_status, status=new_status, **pending))
        assert (error.code, error.details) == ("approval_pending", {"blocked_by_task_ids": []})
    assert error_code(make_change(world, world.alice, REVIEW, status=REVIEW, **pending)) is None
    unassigned = make_change(
        world, world.alice, IN_PROGRESS, assignee_id=world.worker.id, **pending
    )
    change = replace(unassigned, values={"assigned_agent_id": None})
    assert error_code(change) == "approval_pending"


@pytest.mark.parametrize("old_status", list(Status))
def test_a_board_can_require_review_before_done(world, old_status) -> None:
    world.board.require_review_before_done = True
    code = None if old_status in (REVIEW, DONE) else "review_required"
    for actor in (world.alice, world.worker):
        assert error_code(make_change(world, actor, old_status, status=DONE)) == code


CONTENT = {"title": "Write", "description": None, "fields": {"effort": 3}}
OTHER = CONTENT | {"title": "Delete"}


def linked(status=APPROVED, **fields) -> LinkedApproval:
    """Build a decided approval of a task with the content CONTENT."""
    defaults: dict[str, Any] = {
        "id": new_id(),
        "kind": "task.complete",
        "completes_tasks": True,
        "resolved_at": EARLIER,
        "expires_at": None,
        "link_id": new_id(),
        "content": CONTENT,
        "content_hash": hash_content(CONTENT),
        "used_at": None,
    }
    return LinkedApproval(status=status, **(defaults | fields))


def permission(*found, wanted=CONTENT, current=CONTENT, reopened_at=None) -> DonePermission:
    return find_permission(found, current=current, wanted=wanted, reopened_at=reopened_at, at=now())


@pytest.mark.parametrize(
    ("found", "fields", "reason"),
    [
        ([], {}, "none"),
        ([linked()], {}, None),
        ([linked(completes_tasks=False)], {}, "kind"),
        ([linked(content_hash=None, content=None, link_id=None)], {}, "unknown_content"),
        ([linked()], {"wanted": OTHER}, "content"),
        ([linked()], {"wanted": OTHER, "current": OTHER}, "content"),
        ([linked(used_at=EARLIER)], {}, "used"),
        ([linked(expires_at=EARLIER)], {}, "expired"),
        ([linked(expires_at=now() + timedelta(hours=1))], {}, None),
        ([linked(REJECTED, resolved_at=now()), linked()], {}, "rejected"),
        ([linked(REJECTED)], {}, "rejected"),
        ([linked(resolved_at=now()), linked(REJECTED)], {}, None),
        ([linked()], {"reopened_at": now()}, "reopened"),
        ([linked(resolved_at=now())], {"reopened_at": EARLIER}, None),
        ([linked(used_at=EARLIER), linked()], {}, None),
        ([linked(completes_tasks=False), linked()], {}, None),
        ([linked(completes_tasks=False), linked(used_at=EARLIER)], {}, "used"),
    ],
)
def test_which_approval_allows_done_and_why_others_do_not(found, fields, reason) -> None:
    result = permission(*found, **fields)
    assert (result.approval is not None) == (reason is None)
    if reason is not None:
        assert result.reason == reason


def test_the_changed_fields_are_named() -> None:
    wanted = {"title": "Delete", "description": "All", "fields": {}}
    result = permission(linked(), wanted=wanted)
    assert result.changed == ["description", "fields.effort", "title"]
    assert result.changed_by_request
    assert not permission(linked(), wanted=wanted, current=wanted).changed_by_request


def test_a_board_can_require_an_approval_for_done(world) -> None:
    granted, used = DonePermission(approval=linked()), DonePermission(reason="used")
    for required, given, code in [
        (True, DonePermission(), "approval_required"),
        (True, used, "approval_required"),
        (True, granted, None),
        (False, used, None),
    ]:
        world.board.require_approval_for_done = required
        for actor in (world.alice, world.worker, world.lead):
            change = make_change(world, actor, REVIEW, status=DONE, done_permission=given)
            assert error_code(change) == code
    world.board.require_approval_for_done = True
    assert error_code(make_change(world, world.alice, DONE, status=DONE)) is None


def test_a_board_can_require_a_comment_for_review(world) -> None:
    world.board.comment_required_for_review = True
    for actor in (world.alice, world.worker):
        error = raised_error(make_change(world, actor, IN_PROGRESS, status=REVIEW))
        assert (type(error), error.field) == (Invalid, "comment")
        assert (
            error_code(make_change(world, actor, IN_PROGRESS, status=REVIEW, comment="Done."))
            is None
        )
        assert (
            error_code(
                make_change(world, actor, IN_PROGRESS, status=REVIEW, has_assignee_comment=True)
            )
            is None
        )
        assert error_code(make_change(world, actor, REVIEW, status=REVIEW)) is None


def test_the_first_violated_rule_determines_the_error(world) -> None:
    world.board.block_status_changes_with_pending_approval = True
    world.board.require_review_before_done = world.board.require_approval_for_done = True
    change = make_change(world, world.alice, status=DONE, approval_pending=True)
    assert error_code(change) == "approval_pending"
    assert error_code(replace(change, approval_pending=False)) == "review_required"
    assert error_code(replace(change, open_dependency_ids=[new_id()])) == BLOCKED
    assert error_code(replace(change, missing_tag_ids=[new_id()])) == "tag_not_found"


def test_a_new_task_must_pass_the_same_guards(world) -> None:
    def creation_error_code(actor: Any, **facts: Any) -> str | None:
        try:
            check_creation(make_change(world, actor, INBOX, **facts))
        except AppError as error:
            return error.code
        return None

    for actor in (world.alice, world.lead):
        for new_status in Status:
            assert creation_error_code(actor, status=new_status) is None
        assert creation_error_code(actor, status=INBOX, open_dependency_ids=[new_id()]) is None
        assert creation_error_code(actor, status=REVIEW, open_dependency_ids=[new_id()]) == BLOCKED
        assigned = {"assigned_agent_id": world.worker.id, "assignee": world.worker}
        assert (
            creation_error_code(actor, status=INBOX, open_dependency_ids=[new_id()], **assigned)
            == BLOCKED
        )
    world.board.comment_required_for_review = True
    assert creation_error_code(world.alice, status=REVIEW) == "comment_required"
    assert creation_error_code(world.lead, status=REVIEW) is None
    world.board.require_approval_for_done = True
    assert creation_error_code(world.lead, status=DONE) == "approval_required"
    world.board.require_review_before_done = True
    assert creation_error_code(world.alice, status=DONE) == "review_required"
