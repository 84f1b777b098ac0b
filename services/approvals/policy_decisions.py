"""Apply approval policies: decide at once, restrict who decides, and ask a second person."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Forbidden
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
from services.action_kinds import is_completion_kind
from services.approvals import finalization
from services.approvals.details import ApprovalDetail
from services.approvals.events import approval_event

STATUS_BY_EFFECT = {
    PolicyEffect.ALLOW: ApprovalStatus.APPROVED,
    PolicyEffect.DENY: ApprovalStatus.REJECTED,
}


async def apply_policy(
    session: AsyncSession, detail: ApprovalDetail
) -> finalization.FinalizationEffects | None:
    """Store what the policy says about a new approval, and decide it if no person is asked.

    The effects of such a decision are returned for publishing.
    """
    approval = detail.approval
    verdict = await policies.evaluate_request(session, approval, detail.board, detail.task_ids)
    approval.policy_verdict = verdict
    if verdict.expires_after is not None:
        approval.expires_at = approval.created_at + timedelta(seconds=verdict.expires_after)
        await finalization.wake_workers(session)
    if status := STATUS_BY_EFFECT.get(verdict.effect):
        finalization.set_policy_decision(detail, status)
        return await finalization.finalize_without_recording(session, detail)
    return None


def set_expiry(approval: Approval, since: datetime) -> None:
    """Set when a request expires by policy; once approved, it is valid for the same time again."""
    seconds = approval.policy_verdict.expires_after
    if seconds is not None:
        approval.expires_at = since + timedelta(seconds=seconds)


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
        reason = f"The policy “{verdict.rule_name}” lets only certain people decide this."
        raise Forbidden("decider_not_allowed", reason, rule=verdict.rule_name)


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
    verdict = await policies.evaluate_request(
        session, detail.approval, detail.board, detail.task_ids, is_completion=True
    )
    member = await organizations.find_membership(session, user, detail.board.organization_id)
    assert member is not None  # the board was locked for this user
    asks_two = PolicyEffect.ASK_TWO
    is_stricter = verdict.effect is asks_two and detail.approval.policy_verdict.effect != asks_two
    may_decide = policies.may_decide(verdict, user.id, member.role)
    if is_stricter or verdict.effect is PolicyEffect.DENY or not may_decide:
        reason = (
            f"The policy “{verdict.rule_name}” asks more before tasks are completed. Approve this"
            " without completing tasks; the agent can request task.complete."
        )
        raise Forbidden("completion_not_allowed", reason, rule=verdict.rule_name)
    require_recent_sign_in(verdict, signed_in_at)


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
    asks_two = approval.policy_verdict.effect is PolicyEffect.ASK_TWO
    return asks_two and approval.requested_by_user_id == user_id


def approve_first(
    detail: ApprovalDetail, user: User, note: str | None, completes_tasks: bool | None
) -> tuple[ApprovalDetail, finalization.FinalizationEffects | None] | None:
    """Store an approval by the first of two people; return None if this is the second one.

    The second person must approve the same content; otherwise that person is the first again.
    Nothing happens if the first person approves again. Raises Forbidden for the requester.
    """
    approval = detail.approval
    if approval.policy_verdict.effect is not PolicyEffect.ASK_TWO:
        return None
    if is_own_request(detail, user.id):
        reason = "You made this request, so two other people must approve it."
        raise Forbidden("own_request", reason)
    is_same_content = approval.first_approval_hash == approval.action_hash
    if approval.first_approver_id is not None and is_same_content:
        return (detail, None) if approval.first_approver_id == user.id else None
    approval.first_approver_id, approval.first_approved_at = user.id, now()
    approval.first_approval_note = note
    approval.first_approval_hash = approval.action_hash
    approval.first_approval_completes_tasks = completes_tasks
    pending = replace(detail, first_approver=user)
    event = approval_event(EventType.APPROVAL_FIRST_APPROVED, user, pending, note=note)
    return pending, finalization.FinalizationEffects([event])


def clear_first_approval(detail: ApprovalDetail) -> ApprovalDetail:
    """Remove the approval of the first of two people."""
    approval = detail.approval
    approval.first_approver_id = approval.first_approved_at = None
    approval.first_approval_note = approval.first_approval_hash = None
    approval.first_approval_completes_tasks = None
    return replace(detail, first_approver=None)


def combine_completion(detail: ApprovalDetail, completes_tasks: bool | None) -> bool | None:
    """Return whether the decision completes tasks: if the policy asks two people, both say so."""
    if detail.approval.policy_verdict.effect is not PolicyEffect.ASK_TWO:
        return completes_tasks
    answers = (completes_tasks, detail.approval.first_approval_completes_tasks)
    return all(detail.completes_tasks if one is None else one for one in answers)
