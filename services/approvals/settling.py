"""Settling: when the time to take an answer back is over, the answer counts, and agents see it."""

import logging
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Refusal
from models import Approval, ApprovalStatus, Board, EventType
from services import tasks
from services.approvals.details import ApprovalDetail, one
from services.approvals.facts import record

EVENTS = {
    ApprovalStatus.APPROVED: EventType.APPROVAL_APPROVED,
    ApprovalStatus.REJECTED: EventType.APPROVAL_REJECTED,
}

log = logging.getLogger(__name__)


async def boards_with_due(session: AsyncSession) -> Sequence[UUID]:
    """Return the boards on which answers are due to settle, in order of id."""
    due = select(Approval.board_id).where(_due()).distinct()
    return (await session.scalars(due.order_by(Approval.board_id))).all()


async def settle_due(session: AsyncSession, *, board_id: UUID | None = None) -> int:
    """Settle all answers whose time to be taken back is over, and say how many there were.

    It may run as often as one likes, and in several workers at once: the boards are held first,
    so what one worker has settled is no longer due when the next one looks.
    """
    held = await _hold_boards_with_due(session, board_id)
    due = select(Approval).where(_due(), Approval.board_id.in_([board.id for board in held]))
    due = due.order_by(Approval.settles_at, Approval.id)
    found = (await session.scalars(due.execution_options(populate_existing=True))).all()
    by_board = {board.id: [a for a in found if a.board_id == board.id] for board in held}
    for board in sorted(held, key=lambda board: board.organization_id):
        for approval in by_board[board.id]:
            await settle(session, board, approval)
    return len(found)


async def settle(session: AsyncSession, board: Board, approval: Approval) -> ApprovalDetail:
    """Let an answer count, on a board that is held: what was decided becomes the status."""
    assert approval.decided_status is not None
    approval.status = approval.decided_status
    approval.resolved_at = now()
    approval.settles_at = None
    detail = await one(session, board, approval.id)
    await _post_note(session, detail)
    note = approval.decision_note
    await record(session, EVENTS[approval.status], detail.decider, detail, note=note)
    return detail


async def _post_note(session: AsyncSession, detail: ApprovalDetail) -> None:
    """Post the note on the first of the tasks, so that the agent reads why."""
    note, decider = detail.approval.decision_note, detail.decider
    if not (note and decider and detail.tasks):
        return
    try:
        async with session.begin_nested():
            await tasks.comment(session, decider, detail.board, detail.tasks[0].id, note)
    except Refusal as refusal:
        log.warning("a note with a decision was not posted: %s", refusal.message)


async def _hold_boards_with_due(session: AsyncSession, board_id: UUID | None) -> Sequence[Board]:
    due = select(Approval.board_id).where(_due())
    query = select(Board).where(Board.id.in_(due)).order_by(Board.id)
    if board_id is not None:
        query = query.where(Board.id == board_id)
    return (await session.scalars(query.with_for_update(key_share=True))).all()


def _due() -> ColumnElement[bool]:
    return (
        (Approval.status == ApprovalStatus.PENDING)
        & Approval.decided_status.is_not(None)
        & (Approval.settles_at <= now())
    )
