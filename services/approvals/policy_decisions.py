"""Who may decide an approval by its policy, and until when."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Forbidden
from core.text import N_
from models import (
    Approval,
    ApprovalStatus,
    Member,
    PolicyEffect,
    PolicyVerdict,
    Role,
    User,
)
from services import organizations, policies
from services.approval_actions import is_completion_kind
from services.approvals.details import ApprovalDetail


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
        reason = N_("The policy “%(rule)s” lets only certain people decide this.")
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
    asks_two = PolicyEffect.ASK_TWO
    is_stricter = verdict.effect is asks_two and detail.approval.policy_verdict.effect != asks_two
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
    asks_two = approval.policy_verdict.effect is PolicyEffect.ASK_TWO
    return asks_two and approval.requested_by_user_id == user_id
