"""The votes of people: who may decide by the policy, and which votes count when they take effect.

A vote counts if its person may still decide then. The memberships are locked
(`organizations.lock_memberships`) before an approval is loaded, so what it says about rights is
true at the commit.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Forbidden
from core.text import N_
from models import (
    Approval,
    ApprovalStatus,
    EventType,
    Member,
    PolicyEffect,
    PolicyVerdict,
    Role,
    User,
)
from services import organizations, policies
from services.approval_actions import is_completion_kind
from services.approvals.details import ApprovalDetail, build_approval_event
from services.approvals.rules import EDITED_INPUT, TOOL_CALL_RETENTION
from services.events import NewEvent


def set_expiry(approval: Approval, since: datetime) -> None:
    """Set when a request expires by policy; once approved, it is valid for the same time again.

    A tool call is valid for as long as its input is kept.
    """
    seconds = approval.policy_verdict.expires_after
    if seconds is not None:
        approval.expires_at = since + timedelta(seconds=seconds)
    if approval.is_tool_call:
        latest = approval.created_at + TOOL_CALL_RETENTION
        approval.expires_at = min(approval.expires_at or latest, latest)


DeciderRoles = Mapping[UUID, Role]
"""The roles of a deciding user, by organization."""


async def load_decider_roles(
    session: AsyncSession, user: User, found: Iterable[ApprovalDetail]
) -> DeciderRoles:
    """Return the roles of a user in the organizations whose policies restrict who decides.

    Call it after the boards were locked.
    """
    organization_ids = {
        detail.board.organization_id for detail in found if _restricts_deciders(detail)
    }
    if not organization_ids:
        return {}
    query = select(Member.organization_id, Member.role).where(
        Member.user_id == user.id, Member.organization_id.in_(organization_ids)
    )
    return {organization_id: role for organization_id, role in await session.execute(query)}


def _restricts_deciders(detail: ApprovalDetail) -> bool:
    verdict = detail.approval.policy_verdict
    return verdict.decider_role is not Role.MEMBER or bool(verdict.decider_ids)


def require_decider(
    detail: ApprovalDetail, user: User, status: ApprovalStatus, roles: DeciderRoles
) -> None:
    """Raise Forbidden if the policy does not let the user decide."""
    if not _restricts_deciders(detail):
        return
    verdict = detail.approval.policy_verdict
    role = roles.get(detail.board.organization_id)
    if role is None or status not in _list_decisions(verdict, user.id, role):
        reason = N_("The policy “%(rule)s” lets only certain people decide this.")
        raise Forbidden("decider_not_allowed", reason, rule=verdict.rule_name)


def require_other_requester(detail: ApprovalDetail, user: User) -> None:
    """Raise Forbidden if the user made this request and the policy asks two other people."""
    if is_own_request(detail, user.id):
        reason = N_("You made this request, so two other people must approve it.")
        raise Forbidden("requester_may_not_approve", reason)


def require_recent_sign_in(verdict: PolicyVerdict, signed_in_at: datetime | None) -> None:
    """Raise RecentSignInRequired if the policy asks for a recent sign-in and this is none."""
    if verdict.requires_recent_sign_in:
        organizations.require_recent_sign_in(signed_in_at)


async def require_completion_allowed(
    session: AsyncSession,
    detail: ApprovalDetail,
    user: User,
    completes_tasks: bool | None,
    signed_in_at: datetime | None,
) -> None:
    """Raise Forbidden if the policy asks more of a completion than of the kind of the request.

    A decision that completes tasks must not need less than a request to complete them.
    """
    if not completes_tasks or is_completion_kind(detail.approval.action_type):
        return
    verdict, is_allowed = await _evaluate_completion(session, detail, user)
    if not is_allowed:
        reason = N_(
            "The policy “%(rule)s” requires more before tasks are completed. Approve this"
            " without completing tasks; the agent can request task.complete."
        )
        raise Forbidden("completion_not_allowed", reason, rule=verdict.rule_name)
    require_recent_sign_in(verdict, signed_in_at)


async def may_complete_tasks(
    session: AsyncSession, detail: ApprovalDetail, user: User | None, completes_tasks: bool | None
) -> bool:
    """Return whether a user may still say what they have said about completing the tasks."""
    if not completes_tasks or is_completion_kind(detail.approval.action_type):
        return True
    return user is not None and (await _evaluate_completion(session, detail, user))[1]


async def _evaluate_completion(
    session: AsyncSession, detail: ApprovalDetail, user: User
) -> tuple[PolicyVerdict, bool]:
    """Return what the policy says about completing the tasks, and whether a user may do it."""
    verdict = await policies.evaluate_request(
        session, detail.approval, detail.board, detail.task_ids, is_completion=True
    )
    member = await organizations.find_membership(session, user, detail.board.organization_id)
    is_stricter = verdict.effect is PolicyEffect.ASK_TWO and not _asks_two(detail.approval)
    is_refused = is_stricter or verdict.effect is PolicyEffect.DENY or member is None
    return verdict, not is_refused and policies.may_decide(verdict, user.id, member.role)


def list_allowed_decisions(detail: ApprovalDetail, member: Member) -> Collection[ApprovalStatus]:
    """Return the decisions that the policy lets a member make, apart from rights on the board.

    An owner may always reject, so that a request does not wait for people who have left.
    """
    return _list_decisions(detail.approval.policy_verdict, member.user_id, member.role)


def _list_decisions(
    verdict: PolicyVerdict, user_id: UUID, role: Role
) -> Collection[ApprovalStatus]:
    if policies.may_decide(verdict, user_id, role):
        return {ApprovalStatus.APPROVED, ApprovalStatus.REJECTED}
    return {ApprovalStatus.REJECTED} if role is Role.OWNER else set()


def may_approve(detail: ApprovalDetail, member: Member) -> bool:
    """Return whether the policy lets a member approve now, apart from rights on the board."""
    if ApprovalStatus.APPROVED not in list_allowed_decisions(detail, member):
        return False
    return not (
        is_own_request(detail, member.user_id) or has_approved_first(detail, member.user_id)
    )


def list_excluded_ids(detail: ApprovalDetail) -> list[UUID]:
    """Return the users who cannot approve now, whatever the policy says about their role.

    These are the requester if two other people are asked, and the first one of these.
    """
    ids = (detail.approval.requested_by_user_id, detail.approval.first_approver_id)
    return [
        id for id in ids if id and (is_own_request(detail, id) or has_approved_first(detail, id))
    ]


def has_approved_first(detail: ApprovalDetail, user_id: UUID) -> bool:
    """Return whether a user approved the current content as the first of two people.

    Then the approval does not wait for this user, but for another person.
    """
    approval = detail.approval
    is_same = approval.first_approval_hash == approval.action_hash and not detail.is_changed
    return approval.first_approver_id == user_id and is_same


def is_own_request(detail: ApprovalDetail, user_id: UUID) -> bool:
    """Return whether the user made this request and the policy asks two other people."""
    approval = detail.approval
    return _asks_two(approval) and approval.requested_by_user_id == user_id


def _asks_two(approval: Approval) -> bool:
    return approval.policy_verdict.effect is PolicyEffect.ASK_TWO


async def approve_first(
    session: AsyncSession,
    detail: ApprovalDetail,
    user: User,
    note: str | None,
    completes_tasks: bool | None,
) -> tuple[ApprovalDetail, list[NewEvent]] | None:
    """Store an approval by the first of two people; return None if this is the second one.

    The second person must approve the same content, and the first one must still have the right to
    decide; otherwise the second one is the first. If the first person approves again, a new note or
    answer about the tasks replaces the earlier one. The caller checks that the user may decide.
    """
    approval = detail.approval
    if not _asks_two(approval):
        return None
    is_same_content = approval.first_approval_hash == approval.action_hash
    new_events = []
    if approval.first_approved_at is not None and is_same_content:
        if await _is_first_vote_valid(session, detail):
            if approval.first_approver_id != user.id:
                return None
            earlier = (approval.first_approval_note, approval.first_approval_completes_tasks)
            note = earlier[0] if note is None else note
            completes_tasks = earlier[1] if completes_tasks is None else completes_tasks
            if (note, completes_tasks) == earlier:
                return detail, []
        else:
            detail, lapsed = _record_lapse(detail, detail.first_approver, ApprovalStatus.APPROVED)
            new_events.append(lapsed)
    else:
        _clear_lapse(approval)
    approval.first_approver_id, approval.first_approved_at = user.id, now()
    approval.first_approval_note = note
    approval.first_approval_hash = approval.action_hash
    approval.first_approval_completes_tasks = completes_tasks
    pending = replace(detail, first_approver=user, may_first_vote=True)
    event = build_approval_event(EventType.APPROVAL_FIRST_APPROVED, user, pending, note=note)
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
    if approval.is_tool_call:  # the input that was requested counts again
        approval.payload = {k: v for k, v in (approval.payload or {}).items() if k != EDITED_INPUT}
        approval.action_hash = approval.requested_hash
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
    return lapsed, build_approval_event(EventType.APPROVAL_LAPSED, None, lapsed, **data)


def _clear_lapse(approval: Approval) -> None:
    approval.lapsed_user_id = approval.lapsed_status = None
