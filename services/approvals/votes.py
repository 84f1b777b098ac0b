"""The votes of people: the first of two approvals, and whether votes count when they take effect.

A vote counts if its person may still decide then. The memberships are locked
(`organizations.lock_memberships`) before an approval is loaded, so what it says about rights is
true at the commit.
"""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Forbidden
from core.text import N_
from models import Approval, ApprovalStatus, EventType, PolicyEffect, User
from services.approvals.details import ApprovalDetail
from services.approvals.events import approval_event
from services.approvals.policy_decisions import (
    is_own_request,
    may_complete_tasks,
    set_expiry,
)
from services.events import NewEvent


async def approve_first(
    session: AsyncSession,
    detail: ApprovalDetail,
    user: User,
    note: str | None,
    completes_tasks: bool | None,
) -> tuple[ApprovalDetail, list[NewEvent]] | None:
    """Store an approval by the first of two people; return None if this is the second one.

    The second person must approve the same content, and the first one must still have the right to
    decide; otherwise the second one is the first. Nothing happens if the first person approves
    again. Raises Forbidden for the requester.
    """
    approval = detail.approval
    if not _asks_two(approval):
        return None
    if is_own_request(detail, user.id):
        reason = N_("You made this request, so two other people must approve it.")
        raise Forbidden("own_request", reason)
    is_same_content = approval.first_approval_hash == approval.action_hash
    new_events = []
    if approval.first_approved_at is not None and is_same_content:
        if await _is_first_vote_valid(session, detail):
            return (detail, []) if approval.first_approver_id == user.id else None
        detail, lapsed = _record_lapse(detail, detail.first_approver, ApprovalStatus.APPROVED)
        new_events.append(lapsed)
    else:
        _clear_lapse(approval)
    approval.first_approver_id, approval.first_approved_at = user.id, now()
    approval.first_approval_note = note
    approval.first_approval_hash = approval.action_hash
    approval.first_approval_completes_tasks = completes_tasks
    pending = replace(detail, first_approver=user, may_first_vote=True)
    event = approval_event(EventType.APPROVAL_FIRST_APPROVED, user, pending, note=note)
    return pending, [*new_events, event]


def clear_first_approval(detail: ApprovalDetail) -> ApprovalDetail:
    """Remove the approval of the first of two people."""
    approval = detail.approval
    approval.first_approver_id = approval.first_approved_at = None
    approval.first_approval_note = approval.first_approval_hash = None
    approval.first_approval_completes_tasks = None
    return replace(detail, first_approver=None)


def combine_completion(detail: ApprovalDetail, completes_tasks: bool | None) -> bool | None:
    """Return whether the decision completes tasks: if the policy asks two people, both say so."""
    if not _asks_two(detail.approval):
        return completes_tasks
    answers = (completes_tasks, detail.approval.first_approval_completes_tasks)
    return all(detail.completes_tasks if one is None else one for one in answers)


async def lapse_decision(
    session: AsyncSession, detail: ApprovalDetail
) -> tuple[ApprovalDetail, NewEvent] | None:
    """Take back a decision that is about to take effect if a vote counts no longer.

    Return None if all count. If only the first of two people has lost the right to decide, the
    second approval becomes the first one.
    """
    approval, status = detail.approval, detail.approval.decided_status
    assert status is not None
    if approval.is_decided_by_policy:
        return None
    is_approved = status is ApprovalStatus.APPROVED
    is_last_valid = detail.may_last_vote and await may_complete_tasks(
        session, detail, detail.decider, approval.completes_tasks
    )
    is_first_valid = not (is_approved and _asks_two(approval)) or await _is_first_vote_valid(
        session, detail
    )
    if is_last_valid and is_first_valid:
        return None
    if is_last_valid:
        approval.first_approver_id = approval.decided_by_user_id
        approval.first_approved_at = approval.decided_at
        approval.first_approval_note = approval.decision_note
        approval.first_approval_hash = approval.action_hash
        approval.first_approval_completes_tasks = approval.completes_tasks
        moved = replace(detail, first_approver=detail.decider, may_first_vote=True)
        return _record_lapse(clear_decision(moved), detail.first_approver, status)
    return _record_lapse(clear_decision(detail), detail.decider, status)


def clear_decision(detail: ApprovalDetail) -> ApprovalDetail:
    """Remove a decision that is not final: the approval waits again."""
    approval = detail.approval
    approval.status = ApprovalStatus.PENDING
    approval.resolved_at = approval.decided_at = approval.finalizes_at = None
    approval.decided_status = approval.decided_by_user_id = approval.decision_note = None
    approval.completes_tasks = None
    approval.moves_tasks_to_done = False
    set_expiry(approval, approval.created_at)
    return replace(detail, decider=None)


def set_decision(
    detail: ApprovalDetail, user: User, status: ApprovalStatus, note: str | None
) -> ApprovalDetail:
    """Store the decision of a user, apart from what an approval allows."""
    approval = detail.approval
    approval.decided_status, approval.decided_by_user_id = status, user.id
    approval.decided_at, approval.decision_note = now(), note
    _clear_lapse(approval)
    return replace(detail, decider=user, lapsed_user=None)


async def _is_first_vote_valid(session: AsyncSession, detail: ApprovalDetail) -> bool:
    completes = detail.approval.first_approval_completes_tasks
    return detail.may_first_vote and await may_complete_tasks(
        session, detail, detail.first_approver, completes
    )


def _record_lapse(
    detail: ApprovalDetail, user: User | None, status: ApprovalStatus
) -> tuple[ApprovalDetail, NewEvent]:
    """Store whose decision counts no longer. The user is None if the account was deleted."""
    approval = detail.approval
    approval.lapsed_user_id, approval.lapsed_status = user.id if user else None, status
    approval.reminded_at = None  # people are reminded of it again
    lapsed = replace(detail, lapsed_user=user)
    data = {"answer": status, "lapsed_user_id": str(user.id) if user else None}
    return lapsed, approval_event(EventType.APPROVAL_LAPSED, None, lapsed, **data)


def _clear_lapse(approval: Approval) -> None:
    approval.lapsed_user_id = approval.lapsed_status = None


def _asks_two(approval: Approval) -> bool:
    return approval.policy_verdict.effect is PolicyEffect.ASK_TWO
