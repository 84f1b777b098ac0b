"""Finalize decisions after the undo time: the decision becomes the status that agents see."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.listen import CHANNEL
from core.db.reads import Query, Source
from core.errors import AppError
from models import Agent, Approval, ApprovalStatus, Board, EventType
from services import messages, organizations, tasks
from services.approvals import completion, votes
from services.approvals.details import ApprovalDetail, fetch_details
from services.approvals.events import (
    approval_event,
    lead_decision_message,
    requester_decision_messages,
)
from services.approvals.statements import approvals_query
from services.events import NewEvent
from services.messages import OutgoingMessage

DECISIONS_TOPIC = "approval decisions"
"""The topic on the event channel that wakes the workers when an approval has been decided."""

EXPIRED_NOTE = "Nobody decided in time, so the policy rejected it."

FINAL_EVENT_TYPES = {
    ApprovalStatus.APPROVED: EventType.APPROVAL_APPROVED,
    ApprovalStatus.REJECTED: EventType.APPROVAL_REJECTED,
}


@dataclass(frozen=True)
class FinalizationEffects:
    """The events to record and the messages to enqueue for a decision."""

    events: Sequence[NewEvent] = ()
    messages: Sequence[OutgoingMessage] = ()


log = logging.getLogger(__name__)


async def find_next_finalization(source: Source) -> datetime | None:
    """Return when the next decision is due to be finalized, or the next undecided request expires.

    The time may be in the past.
    """
    [(next_at,)] = await NEXT_FINALIZATION.fetch(source)
    return next_at


async def list_boards_with_due_approvals(session: AsyncSession) -> Sequence[UUID]:
    """Return the boards with decisions that are due to be finalized, ordered by id."""
    due = select(Approval.board_id).where(_is_due()).distinct()
    return (await session.scalars(due.order_by(Approval.board_id))).all()


async def finalize_due_approvals(
    session: AsyncSession, *, board_id: UUID | None = None, skip_locked: bool = False
) -> int:
    """Finalize all decisions whose undo time is over, reject expired requests, and count both.

    A decision is taken back if its person may no longer decide: see `votes.lapse_decision`.
    Any number of workers may call this at the same time: the boards are locked first, so an
    approval that one worker has finalized is no longer due for the next one. With `skip_locked`,
    boards that another transaction has locked are left out.
    """
    locked = await _lock_boards_with_due(session, board_id, skip_locked=skip_locked)
    await organizations.lock_memberships(session, {board.organization_id for board in locked})
    due = approvals_query().where(_is_due(), Approval.board_id.in_([board.id for board in locked]))
    due = due.order_by(Board.organization_id, Board.id, Approval.finalizes_at, Approval.id)
    found = await fetch_details(session, due.execution_options(populate_existing=True))
    for detail in found:
        if detail.is_undecided:
            set_policy_decision(detail, ApprovalStatus.REJECTED, EXPIRED_NOTE)
    finalized = [await finalize_counted(session, detail) for detail in found]
    await publish_effects(session, [effects for _, effects in finalized])
    await completion.complete_tasks(session, found)
    return len(found)


def set_policy_decision(
    detail: ApprovalDetail, status: ApprovalStatus, note: str | None = None
) -> None:
    """Store a decision of the policy."""
    approval = detail.approval
    approval.decided_status, approval.decided_at = status, now()
    approval.is_decided_by_policy = True
    approval.decision_note = note
    if status is ApprovalStatus.APPROVED:
        approval.completes_tasks = detail.completes_tasks


async def finalize_counted(
    session: AsyncSession, detail: ApprovalDetail
) -> tuple[ApprovalDetail, FinalizationEffects]:
    """Do what `finalize_without_recording` does if all votes count; otherwise the approval waits.

    `detail` was loaded after the memberships were locked.
    """
    lapse = await votes.lapse_decision(session, detail)
    if lapse is None:
        return detail, await finalize_without_recording(session, detail)
    pending, lapsed = lapse
    return pending, FinalizationEffects([lapsed])


async def finalize_without_recording(
    session: AsyncSession, detail: ApprovalDetail
) -> FinalizationEffects:
    """Make the decision the status of an approval, and return the effects to publish."""
    approval = detail.approval
    assert approval.decided_status is not None
    approval.status = approval.decided_status
    approval.resolved_at = now()
    approval.finalizes_at = None
    approval.undone_by_user_id = approval.undone_status = approval.undone_note = None
    note = await _post_note(session, detail)
    finalized = approval_event(
        FINAL_EVENT_TYPES[approval.status],
        detail.decider,
        detail,
        note=approval.decision_note,
        **({"policy": approval.policy_verdict.rule_name} if approval.is_decided_by_policy else {}),
    )
    return FinalizationEffects(
        [*note.events, finalized],
        [*note.messages, lead_decision_message(detail), *requester_decision_messages(detail)],
    )


WAKE_WORKERS: Query[tuple[Any]] = Query(select(func.pg_notify(CHANNEL, DECISIONS_TOPIC)))


def get_finalization_time(undo_seconds: float) -> datetime | None:
    return now() + timedelta(seconds=undo_seconds) if undo_seconds > 0 else None


async def notify_workers(
    session: AsyncSession, decided: Sequence[ApprovalDetail], at: datetime | None
) -> None:
    """Wake the workers on commit, so that they plan the finalization of these approvals at `at`."""
    if at is not None and decided:
        await wake_workers(session)


async def wake_workers(session: AsyncSession) -> None:
    """Wake the workers on commit, so that they plan the next finalization."""
    await WAKE_WORKERS.fetch(session)


async def publish_effects(session: AsyncSession, effects: Sequence[FinalizationEffects]) -> None:
    """Record the events and enqueue the messages. Call it after all other changes."""
    outgoing = [message for effect in effects for message in effect.messages]
    new_events = [event for effect in effects for event in effect.events]
    await messages.enqueue_messages(session, outgoing, new_events=new_events)


async def _post_note(session: AsyncSession, detail: ApprovalDetail) -> FinalizationEffects:
    """Post the note of a decision as a comment on the first task.

    The agents that receive the decision get no message about the comment: the message about the
    decision contains the note.
    """
    note, decider = detail.approval.decision_note, detail.decider
    if not (note and decider and detail.tasks):
        return FinalizationEffects()
    try:
        comment = await tasks.prepare_comment(
            session, decider, detail.board, detail.tasks[0].id, note
        )
    except AppError as error:
        log.warning("a note with a decision was not posted: %s", error.message)
        return FinalizationEffects()
    informed = {detail.approval.agent_id, await _find_lead_id(session, detail.board)}
    outgoing = [message for message in comment.outgoing if message.to not in informed]
    return FinalizationEffects(comment.new_events, outgoing)


async def _find_lead_id(session: AsyncSession, board: Board) -> UUID | None:
    return await LEAD_ID.first(session, board_id=board.id)


LEAD_ID: Query[UUID] = Query(
    select(Agent.id).where(Agent.board_id == bindparam("board_id"), Agent.is_board_lead).limit(1),
    itemgetter(0),
)


async def _lock_boards_with_due(
    session: AsyncSession, board_id: UUID | None, *, skip_locked: bool
) -> Sequence[Board]:
    due = select(Approval.board_id).where(_is_due())
    query = select(Board).where(Board.id.in_(due)).order_by(Board.id)
    if board_id is not None:
        query = query.where(Board.id == board_id)
    query = query.with_for_update(key_share=True, skip_locked=skip_locked)
    return (await session.scalars(query)).all()


def _is_due() -> ColumnElement[bool]:
    at = now()
    is_expired = Approval.decided_status.is_(None) & (Approval.expires_at <= at)
    return _is_pending() & ((_is_decided() & (Approval.finalizes_at <= at)) | is_expired)


def _is_decided() -> ColumnElement[bool]:
    return Approval.decided_status.is_not(None)


def _is_pending() -> ColumnElement[bool]:
    return Approval.status == ApprovalStatus.PENDING


NEXT_FINALIZATION = Query(
    select(func.min(case((_is_decided(), Approval.finalizes_at), else_=Approval.expires_at))).where(
        _is_pending()
    )
)
