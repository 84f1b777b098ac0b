"""Decide several approvals of any boards in one transaction."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query
from core.errors import AppError
from models import Approval, ApprovalStatus, Board, User
from services import boards, organizations
from services.approvals import completion, finalization
from services.approvals.decisions import (
    PreparedDecision,
    apply_decision,
    load_decision_basis,
)
from services.approvals.details import (
    ApprovalDetail,
    approval_not_found,
    detail_from_row,
    find_board_ids,
)
from services.approvals.rules import validate_text
from services.approvals.statements import approvals_query, is_one_of_these_approvals

MAX_DECISIONS = 200  # approvals in one request


@dataclass(frozen=True)
class DecisionResult:
    """The result of one of several decisions: the updated approval, or the error."""

    approval_id: UUID
    detail: ApprovalDetail | None = None
    error: AppError | None = None


async def decide_many_with_undo(
    session: AsyncSession,
    user: User,
    approval_ids: Sequence[UUID],
    *,
    status: ApprovalStatus,
    note: str | None = None,
    action_hashes: Mapping[UUID, str] | None = None,
    completes_tasks: bool | None = None,
    signed_in_at: datetime | None = None,
    undo_seconds: float,
) -> list[DecisionResult]:
    """Decide several approvals independently: an error of one does not affect the others.

    `action_hashes` are by approval id; parameters and errors are those of `decide_with_undo`. All
    checks of an approval come before its first change. Results are in the order of the ids.
    """
    decision = PreparedDecision(
        user,
        status,
        validate_text(note, "note"),
        action_hashes or {},
        completes_tasks,
        finalization.get_finalization_time(undo_seconds),
        signed_in_at=signed_in_at,
    )
    found = await _lock_approvals(session, user, approval_ids)
    results, effects = await _apply_all(session, found, decision)
    decided = [result.detail for result in results.values() if result.detail]
    changed = [detail for detail in decided if detail.approval.id in effects]
    await finalization.notify_workers(session, changed, decision.finalizes_at)
    await finalization.publish_effects(session, list(effects.values()))
    await completion.complete_tasks(session, changed)
    return [results[id] for id in found]


async def _apply_all(
    session: AsyncSession,
    found: Mapping[UUID, ApprovalDetail | AppError],
    decision: PreparedDecision,
) -> tuple[dict[UUID, DecisionResult], dict[UUID, finalization.FinalizationEffects]]:
    """Apply a decision to approvals. Return the results, and the effects of those that changed."""
    basis = await load_decision_basis(session, found.values(), decision)
    results: dict[UUID, DecisionResult] = {}
    effects: dict[UUID, finalization.FinalizationEffects] = {}
    for id, approval in sorted(found.items(), key=lambda item: _lock_order(item[1])):
        await asyncio.sleep(0)  # a long request takes some 50 ms, so others have their turn
        try:
            detail, effect = await apply_decision(session, approval, decision, basis)
        except AppError as error:
            results[id] = DecisionResult(id, error=error)
            continue
        results[id] = DecisionResult(id, detail=detail)
        if effect is not None:
            effects[id] = effect
    return results, effects


def _lock_order(approval: ApprovalDetail | AppError) -> tuple[str, ...]:
    """Return a sort key: by organization; errors, which record no event, come first.

    Recording an event blocks all other events of the organization until the commit.
    """
    return () if isinstance(approval, AppError) else (str(approval.board.organization_id),)


async def _lock_approvals(
    session: AsyncSession, user: User, approval_ids: Sequence[UUID]
) -> dict[UUID, ApprovalDetail | AppError]:
    """Lock the boards of these approvals before any event is recorded, and load each approval."""
    board_ids = await find_board_ids(session, user, approval_ids)
    locked = await _lock_boards(session, user, set(board_ids.values()))
    found = await _build_approvals_query().fetch(
        session, approval_ids=list(board_ids), board_ids=list(locked)
    )
    details = {detail.approval.id: detail for detail in found}

    def result(id: UUID) -> ApprovalDetail | AppError:
        board = locked.get(board_ids[id]) if id in board_ids else None
        return board if isinstance(board, AppError) else details.get(id) or approval_not_found()

    return {id: result(id) for id in approval_ids}


@cache
def _build_approvals_query() -> Query[ApprovalDetail]:
    """Build the query of the `approval_ids` on the boards `board_ids`."""
    is_on_board = Approval.board_id == func.any(bindparam("board_ids", type_=ARRAY(Uuid())))
    query = approvals_query().where(is_one_of_these_approvals(), is_on_board)
    return Query(query.execution_options(populate_existing=True), detail_from_row)


async def _lock_boards(
    session: AsyncSession, user: User, board_ids: Collection[UUID]
) -> dict[UUID, Board | AppError]:
    """Lock boards and the memberships, and check the user's rights after that."""
    locked = await boards.lock_boards(session, user, board_ids)
    found = [board for board in locked.values() if isinstance(board, Board)]
    await organizations.lock_memberships(session, {board.organization_id for board in found})
    writable_ids = set(await boards.list_writable_board_ids(session, user))
    for board_id, board in locked.items():
        if isinstance(board, AppError) or board_id in writable_ids:
            continue
        try:
            await boards.require_write_access(session, user, board_id)
        except AppError as error:
            locked[board_id] = error
    return locked
