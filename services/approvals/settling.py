"""Settling: when the time to take an answer back is over, the answer counts, and agents see it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Refusal
from models import Agent, Approval, ApprovalStatus, Board, EventType
from services import events, messages, tasks
from services.approvals.details import ApprovalDetail, every, rows
from services.approvals.facts import fact

EVENTS = {
    ApprovalStatus.APPROVED: EventType.APPROVAL_APPROVED,
    ApprovalStatus.REJECTED: EventType.APPROVAL_REJECTED,
}


@dataclass(frozen=True)
class News:
    """What is to be recorded of an answer, and what agents are to be told."""

    happened: Sequence[events.Happened] = ()
    drafts: Sequence[messages.Draft] = ()


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
    due = rows().where(_due(), Approval.board_id.in_([board.id for board in held]))
    due = due.order_by(Board.organization_id, Board.id, Approval.settles_at, Approval.id)
    found = await every(session, due.execution_options(populate_existing=True))
    await announce(session, [await settled(session, detail) for detail in found])
    return len(found)


async def settle(session: AsyncSession, detail: ApprovalDetail) -> ApprovalDetail:
    """Let an answer count, on a board that is held: what was decided becomes the status."""
    await announce(session, [await settled(session, detail)])
    return detail


async def settled(session: AsyncSession, detail: ApprovalDetail) -> News:
    """Do the same, and return what is to be recorded and told of it."""
    approval = detail.approval
    assert approval.decided_status is not None
    approval.status = approval.decided_status
    approval.resolved_at = now()
    approval.settles_at = None
    note = await _posted(session, detail)
    counts = fact(EVENTS[approval.status], detail.decider, detail, note=approval.decision_note)
    return News([*note.happened, counts], [*note.drafts, _to_lead(detail), *_to_asker(detail)])


async def announce(session: AsyncSession, news: Sequence[News]) -> None:
    """Record and tell all of this, once everything is changed."""
    drafts = [draft for one in news for draft in one.drafts]
    happened = [what for one in news for what in one.happened]
    await messages.queue(session, drafts, happened=happened)


def _to_lead(detail: ApprovalDetail) -> messages.Draft:
    return replace(
        _told(detail, messages.LeadOf(detail.board)),
        told=EventType.APPROVAL_LEAD_NOTIFIED,
        failed=EventType.APPROVAL_LEAD_NOTIFY_FAILED,
        data={"question": detail.question, "status": detail.approval.status},
    )


def _to_asker(detail: ApprovalDetail) -> Sequence[messages.Draft]:
    """Tell whoever asked, too. A lead that has asked is told once: by the key it is the same."""
    return [_told(detail, detail.agent)] if detail.agent else []


def _told(detail: ApprovalDetail, to: Agent | messages.LeadOf) -> messages.Draft:
    approval = detail.approval
    return messages.Draft(
        to=to,
        content=messages.texts.approval_resolved(detail.board, approval, detail.task_ids),
        key=f"approval:{approval.id}:{approval.resolved_at}",
        board=detail.board,
        task=detail.task_ids[0] if detail.task_ids else None,
        approval=approval,
        sender=detail.decider,
    )


async def _posted(session: AsyncSession, detail: ApprovalDetail) -> News:
    """Post the note on the first of the tasks, so that the agent reads why."""
    note, decider = detail.approval.decision_note, detail.decider
    if not (note and decider and detail.tasks):
        return News()
    try:
        said = await tasks.remark(session, decider, detail.board, detail.tasks[0].id, note)
    except Refusal as refusal:
        log.warning("a note with a decision was not posted: %s", refusal.message)
        return News()
    return News(said.happened, said.drafts)


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
