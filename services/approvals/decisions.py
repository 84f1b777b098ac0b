"""Decide approvals: immediately (API), or with a few seconds to undo the decision (pages)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.listen import CHANNEL
from core.errors import AppError, Conflict, Invalid
from models import Approval, ApprovalStatus, Board, EventType, User
from services import boards
from services.approvals import finalization
from services.approvals.details import (
    ApprovalDetail,
    approval_not_found,
    approvals_query,
    fetch_details,
    find_board_ids,
    get_approval,
    get_board_id,
)
from services.approvals.events import approval_event, record_approval_event
from services.approvals.requests import ensure_no_pending_approval
from services.approvals.rules import validate_text

MAX_DECISIONS = 200  # approvals in one request


@dataclass(frozen=True)
class DecisionResult:
    """The result of one of several decisions: the updated approval, or the error."""

    approval_id: UUID
    detail: ApprovalDetail | None = None
    error: AppError | None = None


async def decide_immediately(
    session: AsyncSession,
    user: User,
    board: Board,
    approval_id: UUID,
    status: ApprovalStatus | None,
    *,
    note: str | None = None,
) -> ApprovalDetail:
    """Set the status of an approval on a locked board; every transition is allowed.

    An approval that has the status already is not changed, and no event is recorded. Raises
    NotFound, Invalid for the note, and Conflict if it would be the second pending approval of a
    task.
    """
    detail = await get_approval(session, board, approval_id)
    approval = detail.approval
    if status is None:
        return detail
    if status is ApprovalStatus.PENDING:
        return await _reopen(session, user, detail)
    if approval.status is status:
        return detail
    if approval.decided_status is not status:
        detail = _set_decision(detail, user, status, validate_text(note, "note"))
    return await finalization.finalize_approval(session, detail)


async def decide_with_undo(
    session: AsyncSession,
    user: User,
    approval_id: UUID,
    *,
    status: ApprovalStatus,
    note: str | None = None,
    undo_seconds: float,
) -> ApprovalDetail:
    """Decide an approval. The decision can be undone until `undo_seconds` have passed.

    Raises NotFound, Forbidden, and Conflict if it is decided already.
    """
    board = await _lock_board_of(session, user, approval_id)
    decision = _Decision(
        user, status, validate_text(note, "note"), _finalization_time(undo_seconds)
    )
    approval = await get_approval(session, board, approval_id)
    detail, effects = await _decide(session, approval, decision)
    if effects is not None:
        await _notify_workers(session, [detail], decision.finalizes_at)
        await finalization.publish_effects(session, [effects])
    return detail


async def decide_many_with_undo(
    session: AsyncSession,
    user: User,
    approval_ids: Sequence[UUID],
    *,
    status: ApprovalStatus,
    note: str | None = None,
    undo_seconds: float,
) -> list[DecisionResult]:
    """Decide several approvals independently: an error of one does not affect the others.

    All checks of an approval come before its first change, so a failed decision leaves no changes.
    The approvals are processed by organization, because recording an event blocks all other events
    of the organization until the commit. The results are in the order of `approval_ids`.
    """
    decision = _Decision(
        user, status, validate_text(note, "note"), _finalization_time(undo_seconds)
    )
    found = await _lock_approvals(session, user, approval_ids)
    results: dict[UUID, DecisionResult] = {}
    decided: list[ApprovalDetail] = []
    all_effects: list[finalization.FinalizationEffects] = []
    for approval_id, approval in sorted(found.items(), key=lambda item: _lock_order(item[1])):
        try:
            detail, effects = await _decide(session, approval, decision)
        except AppError as error:
            results[approval_id] = DecisionResult(approval_id, error=error)
            continue
        results[approval_id] = DecisionResult(approval_id, detail=detail)
        if effects is not None:
            decided.append(detail)
            all_effects.append(effects)
    await _notify_workers(session, decided, decision.finalizes_at)
    await finalization.publish_effects(session, all_effects)
    return [results[id] for id in found]


def _lock_order(approval: ApprovalDetail | AppError) -> tuple[str, ...]:
    """Return a sort key: by organization; errors, which record no event, come first."""
    return () if isinstance(approval, AppError) else (str(approval.board.organization_id),)


async def undo_decision(session: AsyncSession, user: User, approval_id: UUID) -> ApprovalDetail:
    """Undo the decision of any user before it is finalized. Agents are not notified.

    Raises NotFound, Forbidden, and Conflict if it is too late.
    """
    board = await _lock_board_of(session, user, approval_id)
    detail = await get_approval(session, board, approval_id)
    if detail.is_undecided:
        return detail
    finalizes_at = detail.approval.finalizes_at
    if finalizes_at is None or finalizes_at <= now():
        raise Conflict("too_late_to_undo", "It is too late to take this back. Reopen it instead.")
    return await _undo(session, user, detail)


async def reopen_approval(session: AsyncSession, user: User, approval_id: UUID) -> ApprovalDetail:
    """Set a decided approval back to pending.

    Raises NotFound, Forbidden, and Conflict if a task would have two pending approvals.
    """
    board = await _lock_board_of(session, user, approval_id)
    return await _reopen(session, user, await get_approval(session, board, approval_id))


@dataclass(frozen=True)
class _Decision:
    """A decision to apply. `finalizes_at`: end of the undo time; None if it cannot be undone."""

    user: User
    status: ApprovalStatus
    note: str | None
    finalizes_at: datetime | None


async def _decide(
    session: AsyncSession, approval: ApprovalDetail | AppError, decision: _Decision
) -> tuple[ApprovalDetail, finalization.FinalizationEffects | None]:
    """Apply a decision. Return no effects if the same user has already decided the same."""
    if isinstance(approval, AppError):
        raise approval
    user, status = decision.user, decision.status
    if status is ApprovalStatus.PENDING:
        raise Invalid("answer_required", "Approve or reject.", field="status")
    if not approval.is_undecided:
        if (approval.approval.decided_by_user_id, approval.shown_status) == (user.id, status):
            return approval, None
        raise _already_decided(approval)
    detail = _set_decision(approval, user, status, decision.note)
    if decision.finalizes_at is None:
        return detail, await finalization.finalize_without_recording(session, detail)
    detail.approval.finalizes_at = decision.finalizes_at
    data = {"answer": status, "note": decision.note}
    event = approval_event(EventType.APPROVAL_DECIDED, user, detail, **data)
    return detail, finalization.FinalizationEffects([event])


def _finalization_time(undo_seconds: float) -> datetime | None:
    return now() + timedelta(seconds=undo_seconds) if undo_seconds > 0 else None


async def _notify_workers(
    session: AsyncSession, decided: Sequence[ApprovalDetail], at: datetime | None
) -> None:
    """Wake the workers on commit, so that they plan the finalization of these approvals at `at`."""
    if at is not None and decided:
        await session.execute(select(func.pg_notify(CHANNEL, finalization.DECISIONS_TOPIC)))


def _already_decided(detail: ApprovalDetail) -> Conflict:
    by = detail.decider_name or "Somebody"
    return Conflict(
        "already_decided",
        f"{by} has {detail.shown_status.value} this already.",
        by=by,
        status=detail.shown_status.value,
    )


async def _reopen(session: AsyncSession, user: User, detail: ApprovalDetail) -> ApprovalDetail:
    approval = detail.approval
    if detail.is_undecided:
        return detail
    if detail.can_undo:
        return await _undo(session, user, detail)
    task_ids = [task.id for task in detail.tasks]
    await ensure_no_pending_approval(session, detail.board, task_ids, excluding=approval.id)
    previous = approval.status
    pending = _clear_decision(detail)
    await record_approval_event(session, EventType.APPROVAL_REOPENED, user, pending, left=previous)
    return pending


async def _undo(session: AsyncSession, user: User, detail: ApprovalDetail) -> ApprovalDetail:
    undone = detail.approval.decided_status
    pending = _clear_decision(detail)
    await record_approval_event(session, EventType.APPROVAL_UNDONE, user, pending, answer=undone)
    return pending


def _set_decision(
    detail: ApprovalDetail, user: User, status: ApprovalStatus, note: str | None
) -> ApprovalDetail:
    approval = detail.approval
    approval.decided_status = status
    approval.decided_by_user_id = user.id
    approval.decided_at = now()
    approval.decision_note = note
    approval.finalizes_at = None
    return replace(detail, decider=user)


def _clear_decision(detail: ApprovalDetail) -> ApprovalDetail:
    approval = detail.approval
    approval.status = ApprovalStatus.PENDING
    approval.resolved_at = approval.decided_at = approval.finalizes_at = None
    approval.decided_status = approval.decided_by_user_id = approval.decision_note = None
    return replace(detail, decider=None)


async def _lock_board_of(session: AsyncSession, user: User, approval_id: UUID) -> Board:
    return await boards.lock_board(session, user, await get_board_id(session, user, approval_id))


async def _lock_approvals(
    session: AsyncSession, user: User, approval_ids: Sequence[UUID]
) -> dict[UUID, ApprovalDetail | AppError]:
    """Lock the boards of these approvals before any event is recorded, and load each approval."""
    board_ids = await find_board_ids(session, user, approval_ids)
    locked = await boards.lock_boards(session, user, set(board_ids.values()))
    query = approvals_query().where(Approval.id.in_(board_ids), Approval.board_id.in_(locked))
    found = await fetch_details(session, query.execution_options(populate_existing=True))
    details = {detail.approval.id: detail for detail in found}

    def result(id: UUID) -> ApprovalDetail | AppError:
        board = locked.get(board_ids[id]) if id in board_ids else None
        return board if isinstance(board, AppError) else details.get(id) or approval_not_found()

    return {id: result(id) for id in approval_ids}
