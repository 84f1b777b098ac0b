"""Decide approvals: immediately (API), or with a few seconds to undo the decision (pages)."""

from collections.abc import Collection, Sequence
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
    already_decided,
    approval_not_found,
    approvals_query,
    fetch_details,
    find_board_ids,
    get_approval,
    get_board_id,
)
from services.approvals.events import approval_event, record_approval_event
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
    """Decide an approval on a locked board, without time to undo the decision.

    Without a status, or with the status that the same user has decided before, nothing changes.
    Raises NotFound, Forbidden, Invalid for the note, and Conflict if it is decided already.
    """
    await boards.require_write_access(session, user, board.id)
    detail = await get_approval(session, board, approval_id)
    if status is None or (status is ApprovalStatus.PENDING and detail.is_undecided):
        return detail
    decision = _Decision(user, status, validate_text(note, "note"), finalizes_at=None)
    detail, effects = await _decide(session, detail, decision)
    if effects is not None:
        await finalization.publish_effects(session, [effects])
    return detail


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

    Raises NotFound, Forbidden, Invalid for the note, and Conflict if it is decided already.
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
        message = "It is too late to undo this. The decision is final; make a new request instead."
        raise Conflict("too_late_to_undo", message)
    return await _undo(session, user, detail)


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
    if not approval.is_undecided:
        return await _repeat(session, approval, decision)
    if decision.status is ApprovalStatus.PENDING:
        raise Invalid("answer_required", "Approve or reject.", field="status")
    detail = _set_decision(approval, decision)
    if decision.finalizes_at is None:
        return detail, await finalization.finalize_without_recording(session, detail)
    detail.approval.finalizes_at = decision.finalizes_at
    data = {"answer": decision.status, "note": decision.note}
    event = approval_event(EventType.APPROVAL_DECIDED, decision.user, detail, **data)
    return detail, finalization.FinalizationEffects([event])


async def _repeat(
    session: AsyncSession, approval: ApprovalDetail, decision: _Decision
) -> tuple[ApprovalDetail, finalization.FinalizationEffects | None]:
    """Accept a decision that its user has made before; raise Conflict for any other one.

    A repeated decision without undo time ends the undo time of the first one.
    """
    row = approval.approval
    if (row.decided_by_user_id, approval.shown_status) != (decision.user.id, decision.status):
        raise already_decided(approval)
    if decision.note not in (None, row.decision_note):
        raise already_decided(approval)
    if decision.finalizes_at is None and approval.can_undo:
        return approval, await finalization.finalize_without_recording(session, approval)
    return approval, None


def _finalization_time(undo_seconds: float) -> datetime | None:
    return now() + timedelta(seconds=undo_seconds) if undo_seconds > 0 else None


async def _notify_workers(
    session: AsyncSession, decided: Sequence[ApprovalDetail], at: datetime | None
) -> None:
    """Wake the workers on commit, so that they plan the finalization of these approvals at `at`."""
    if at is not None and decided:
        await session.execute(select(func.pg_notify(CHANNEL, finalization.DECISIONS_TOPIC)))


async def _undo(session: AsyncSession, user: User, detail: ApprovalDetail) -> ApprovalDetail:
    undone = detail.approval.decided_status
    pending = _clear_decision(detail)
    await record_approval_event(session, EventType.APPROVAL_UNDONE, user, pending, answer=undone)
    return pending


def _set_decision(detail: ApprovalDetail, decision: _Decision) -> ApprovalDetail:
    approval = detail.approval
    approval.decided_status = decision.status
    approval.decided_by_user_id = decision.user.id
    approval.decided_at = now()
    approval.decision_note = decision.note
    return replace(detail, decider=decision.user)


def _clear_decision(detail: ApprovalDetail) -> ApprovalDetail:
    approval = detail.approval
    approval.status = ApprovalStatus.PENDING
    approval.resolved_at = approval.decided_at = approval.finalizes_at = None
    approval.decided_status = approval.decided_by_user_id = approval.decision_note = None
    return replace(detail, decider=None)


async def _lock_board_of(session: AsyncSession, user: User, approval_id: UUID) -> Board:
    """Lock the board of an approval, and check the user's rights as they are after the wait."""
    board_id = await get_board_id(session, user, approval_id)
    board = await boards.lock_board(session, user, board_id)
    await boards.require_write_access(session, user, board_id)
    return board


async def _lock_approvals(
    session: AsyncSession, user: User, approval_ids: Sequence[UUID]
) -> dict[UUID, ApprovalDetail | AppError]:
    """Lock the boards of these approvals before any event is recorded, and load each approval."""
    board_ids = await find_board_ids(session, user, approval_ids)
    locked = await _lock_boards(session, user, set(board_ids.values()))
    query = approvals_query().where(Approval.id.in_(board_ids), Approval.board_id.in_(locked))
    found = await fetch_details(session, query.execution_options(populate_existing=True))
    details = {detail.approval.id: detail for detail in found}

    def result(id: UUID) -> ApprovalDetail | AppError:
        board = locked.get(board_ids[id]) if id in board_ids else None
        return board if isinstance(board, AppError) else details.get(id) or approval_not_found()

    return {id: result(id) for id in approval_ids}


async def _lock_boards(
    session: AsyncSession, user: User, board_ids: Collection[UUID]
) -> dict[UUID, Board | AppError]:
    """Lock boards, and check the user's rights as they are after the wait."""
    locked = await boards.lock_boards(session, user, board_ids)
    writable_ids = set(await boards.list_writable_board_ids(session, user))
    for board_id, board in locked.items():
        if isinstance(board, AppError) or board_id in writable_ids:
            continue
        try:
            await boards.require_write_access(session, user, board_id)
        except AppError as error:
            locked[board_id] = error
    return locked
