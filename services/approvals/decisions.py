"""Decide approvals: immediately (API), or with a few seconds to undo the decision (pages)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import AppError, Invalid
from core.text import N_
from models import Approval, ApprovalStatus, Board, EventType, User
from services import boards, organizations
from services.approvals import completion, finalization, votes
from services.approvals.details import (
    ApprovalDetail,
    already_decided,
    get_approval,
    lock_board_of_approval,
)
from services.approvals.events import approval_event
from services.approvals.policy_decisions import (
    DeciderRoles,
    load_decider_roles,
    require_completion_allowed,
    require_decider,
    require_recent_sign_in,
    set_expiry,
)
from services.approvals.reviewed_content import (
    CurrentContents,
    bind_decision,
    content_changed,
    load_current_contents,
)
from services.approvals.rules import validate_text


async def decide_immediately(
    session: AsyncSession,
    user: User,
    board: Board,
    approval_id: UUID,
    status: ApprovalStatus | None,
    *,
    note: str | None = None,
    action_hash: str | None = None,
    completes_tasks: bool | None = None,
) -> ApprovalDetail:
    """Decide an approval on a locked board, without time to undo the decision.

    Without a status nothing changes. Parameters and errors are those of `decide_with_undo`.
    """
    await organizations.lock_memberships(session, [board.organization_id])
    await boards.require_write_access(session, user, board.id)
    detail = await get_approval(session, board, approval_id)
    if status is None or (status is ApprovalStatus.PENDING and detail.is_undecided):
        return detail
    decision = PreparedDecision(
        user, status, validate_text(note, "note"), _hash_by_id(detail, action_hash), completes_tasks
    )
    basis = await load_decision_basis(session, [detail], decision)
    detail, effects = await apply_decision(session, detail, decision, basis)
    if effects is not None:
        await finalization.publish_effects(session, [effects])
        await completion.complete_tasks(session, [detail])
    return detail


async def decide_with_undo(
    session: AsyncSession,
    user: User,
    approval_id: UUID,
    *,
    status: ApprovalStatus,
    note: str | None = None,
    action_hash: str | None = None,
    completes_tasks: bool | None = None,
    moves_tasks_to_done: bool = False,
    signed_in_at: datetime | None = None,
    undo_seconds: float,
) -> ApprovalDetail:
    """Decide an approval. The decision can be undone until `undo_seconds` have passed.

    `action_hash` is of the action that the user has seen, by default that of the original request.
    With `completes_tasks` the user says whether the tasks may be moved to done; by default the kind
    of the approval determines that. With `moves_tasks_to_done` the user moves them there when it is
    final. `signed_in_at` is that of `organizations.require_recent_sign_in`. Raises NotFound,
    Forbidden, Invalid for the note, and Conflict if it is decided, has expired, or has changed.
    """
    board = await lock_board_of_approval(session, user, approval_id)
    approval = await get_approval(session, board, approval_id)
    decision = PreparedDecision(
        user,
        status,
        validate_text(note, "note"),
        _hash_by_id(approval, action_hash),
        completes_tasks,
        finalization.get_finalization_time(undo_seconds),
        moves_tasks_to_done,
        signed_in_at,
    )
    basis = await load_decision_basis(session, [approval], decision)
    detail, effects = await apply_decision(session, approval, decision, basis)
    if effects is not None:
        await finalization.notify_workers(session, [detail], decision.finalizes_at)
        await finalization.publish_effects(session, [effects])
        await completion.complete_tasks(session, [detail])
    return detail


@dataclass(frozen=True)
class PreparedDecision:
    """A decision to apply. `finalizes_at`: end of the undo time; None if it cannot be undone."""

    user: User
    status: ApprovalStatus
    note: str | None
    action_hashes: Mapping[UUID, str]  # of what the user has seen, by approval id
    completes_tasks: bool | None
    finalizes_at: datetime | None = None
    moves_tasks_to_done: bool = False  # when the approval becomes final
    signed_in_at: datetime | None = None  # in a browser; None with a token

    def find_hash(self, approval: Approval) -> str | None:
        """Return the hash of what the user has seen, if they have sent it."""
        sent = self.action_hashes.get(approval.id)
        return sent.lower() if sent else None


def _hash_by_id(approval: ApprovalDetail, action_hash: str | None) -> Mapping[UUID, str]:
    return {approval.approval.id: action_hash} if action_hash else {}


@dataclass(frozen=True)
class DecisionBasis:
    """What decisions are checked against, as it is after the boards were locked."""

    contents: CurrentContents  # of the tasks of approvals that are about to be approved
    roles: DeciderRoles


async def load_decision_basis(
    session: AsyncSession, found: Iterable[ApprovalDetail | AppError], decision: PreparedDecision
) -> DecisionBasis:
    """Load what decisions about these approvals are checked against, once for all of them."""
    details = [one for one in found if not isinstance(one, AppError)]
    roles = await load_decider_roles(session, decision.user, details)
    if decision.status is not ApprovalStatus.APPROVED:
        return DecisionBasis({}, roles)
    undecided = [one.approval.id for one in details if one.is_undecided]
    return DecisionBasis(await load_current_contents(session, undecided), roles)


async def apply_decision(
    session: AsyncSession,
    approval: ApprovalDetail | AppError,
    decision: PreparedDecision,
    basis: DecisionBasis,
) -> tuple[ApprovalDetail, finalization.FinalizationEffects | None]:
    """Apply a decision. Return no effects if the same user has already decided the same."""
    if isinstance(approval, AppError):
        raise approval
    if not approval.is_undecided:
        return await _repeat(session, approval, decision, basis.roles)
    if decision.status is ApprovalStatus.PENDING:
        raise Invalid("answer_required", N_("Approve or reject."), field="status")
    require_decider(approval, decision.user, decision.status, basis.roles)
    require_recent_sign_in(approval.approval.policy_verdict, decision.signed_in_at)
    if decision.status is ApprovalStatus.APPROVED:
        await require_completion_allowed(
            session, approval, decision.user, decision.completes_tasks, decision.signed_in_at
        )
        id = approval.approval.id
        approval = bind_decision(
            approval,
            basis.contents.get(id, ()),
            decision.find_hash(approval.approval),
            decision.completes_tasks,
        )
        first = await votes.approve_first(
            session, approval, decision.user, decision.note, decision.completes_tasks
        )
        if first is not None:
            pending, new_events = first
            return pending, finalization.FinalizationEffects(new_events) if new_events else None
        completes = votes.combine_completion(approval, decision.completes_tasks)
        decision = replace(decision, completes_tasks=completes)
    return await _store_decision(session, approval, decision)


async def _store_decision(
    session: AsyncSession, approval: ApprovalDetail, decision: PreparedDecision
) -> tuple[ApprovalDetail, finalization.FinalizationEffects]:
    """Store a decision, and finalize it if there is no time to undo it."""
    detail = _set_decision(approval, decision)
    if decision.finalizes_at is None:
        return detail, await finalization.finalize_without_recording(session, detail)
    detail.approval.finalizes_at = decision.finalizes_at
    data = {"answer": decision.status, "note": decision.note}
    event = approval_event(EventType.APPROVAL_DECIDED, decision.user, detail, **data)
    return detail, finalization.FinalizationEffects([event])


async def _repeat(
    session: AsyncSession,
    approval: ApprovalDetail,
    decision: PreparedDecision,
    roles: DeciderRoles,
) -> tuple[ApprovalDetail, finalization.FinalizationEffects | None]:
    """Accept a decision that its user has made before; raise Conflict for any other one.

    A repeated decision without undo time ends the undo time of the first one. Then a hash is needed
    as for the first one: the content may be another one than that of the request.
    """
    row = approval.approval
    if (row.decided_by_user_id, approval.shown_status) != (decision.user.id, decision.status):
        raise already_decided(approval)
    require_decider(approval, decision.user, decision.status, roles)
    require_recent_sign_in(row.policy_verdict, decision.signed_in_at)
    repeats_note = decision.note in (None, row.decision_note)
    sent_hash, is_approved = decision.find_hash(row), decision.status is ApprovalStatus.APPROVED
    repeats_hash = not is_approved or sent_hash in (None, row.action_hash)
    repeats_use = decision.completes_tasks in (None, approval.completes_tasks)
    repeats_move = decision.moves_tasks_to_done in (False, row.moves_tasks_to_done)
    if not (repeats_note and repeats_hash and repeats_use and repeats_move):
        raise already_decided(approval)
    if decision.finalizes_at is None and approval.can_undo:
        if is_approved and (sent_hash or row.requested_hash) != row.action_hash:
            raise content_changed(approval, (), row.action_hash, decision.completes_tasks)
        return await finalization.finalize_counted(session, approval)
    return approval, None


def _set_decision(detail: ApprovalDetail, decision: PreparedDecision) -> ApprovalDetail:
    decided = votes.set_decision(detail, decision.user, decision.status, decision.note)
    if decision.status is ApprovalStatus.APPROVED:
        completion.store_choice(
            detail, decision.completes_tasks, moves=decision.moves_tasks_to_done
        )
        set_expiry(detail.approval, now())
    return decided
