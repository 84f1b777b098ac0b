"""Finalize decisions after the undo time: the decision becomes the status that agents see."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.errors import AppError
from models import (
    DECISIONS_TOPIC,
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    EventType,
    PolicyVerdict,
    Status,
    Task,
)
from services import messages, organizations, outbox, tasks
from services.approvals import votes
from services.approvals.details import (
    ApprovalDetail,
    approvals_query,
    build_approval_event,
    fetch_details,
)
from services.events import NewEvent
from services.messages import OutgoingMessage

log = logging.getLogger(__name__)

FINAL_EVENT_TYPES = {
    ApprovalStatus.APPROVED: EventType.APPROVAL_APPROVED,
    ApprovalStatus.REJECTED: EventType.APPROVAL_REJECTED,
}


@dataclass(frozen=True)
class FinalizationEffects:
    """The events to record and the messages to enqueue for a decision."""

    events: Sequence[NewEvent] = ()
    messages: Sequence[OutgoingMessage] = ()


_IS_PENDING = Approval.status == ApprovalStatus.PENDING
_IS_DECIDED = Approval.decided_status.is_not(None)
NEXT_FINALIZATION = Query(
    select(func.min(case((_IS_DECIDED, Approval.finalizes_at), else_=Approval.expires_at))).where(
        _IS_PENDING
    )
)


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


def _is_due() -> ColumnElement[bool]:
    at = now()
    is_expired = Approval.decided_status.is_(None) & (Approval.expires_at <= at)
    return _IS_PENDING & ((_IS_DECIDED & (Approval.finalizes_at <= at)) | is_expired)


async def finalize_due_approvals(
    session: AsyncSession, *, board_id: UUID | None = None, skip_locked: bool = False
) -> int:
    """Finalize all decisions whose undo time is over, reject expired requests, and count both.

    A decision is taken back if its person may no longer decide: see `votes.lapse_decision`.
    Any number of workers may call this at the same time: the boards are locked first, so an
    approval that one worker has finalized is no longer due for the next one. With `skip_locked`,
    boards that another transaction has locked are left out.
    """
    with_due = select(Board).where(Board.id.in_(select(Approval.board_id).where(_is_due())))
    if board_id is not None:
        with_due = with_due.where(Board.id == board_id)
    with_due = with_due.order_by(Board.id).with_for_update(key_share=True, skip_locked=skip_locked)
    locked = (await session.scalars(with_due)).all()
    await organizations.lock_memberships(session, {board.organization_id for board in locked})
    due = approvals_query().where(_is_due(), Approval.board_id.in_([board.id for board in locked]))
    due = due.order_by(Board.organization_id, Board.id, Approval.finalizes_at, Approval.id)
    found = await fetch_details(session, due.execution_options(populate_existing=True))
    for detail in found:
        if detail.is_undecided:
            note = "Nobody decided in time, so the policy rejected it."
            set_policy_decision(detail, ApprovalStatus.REJECTED, note)
    finalized = [await finalize_counted(session, detail) for detail in found]
    await publish_effects(session, [effects for _, effects in finalized])
    await complete_tasks(session, found)
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


async def list_undecided_calls(
    session: AsyncSession, board_ids: Collection[UUID]
) -> Sequence[ApprovalDetail]:
    """Return the undecided tool calls of locked boards."""
    is_undecided = _IS_PENDING & ~_IS_DECIDED & Approval.is_tool_call
    query = approvals_query().where(is_undecided, Approval.board_id.in_(board_ids))
    query = query.order_by(Approval.created_at, Approval.id)
    return await fetch_details(session, query.execution_options(populate_existing=True))


async def allow_by_policy(
    session: AsyncSession, detail: ApprovalDetail, verdict: PolicyVerdict
) -> Sequence[NewEvent]:
    """Approve a tool call that the policy allows now, and return the events to record last."""
    detail.approval.policy_verdict = verdict
    set_policy_decision(detail, ApprovalStatus.APPROVED)
    return (await finalize_without_recording(session, detail)).events


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
    finalized = build_approval_event(
        FINAL_EVENT_TYPES[approval.status],
        detail.decider,
        detail,
        note=approval.decision_note,
        **({"policy": approval.policy_verdict.rule_name} if approval.is_decided_by_policy else {}),
    )
    return FinalizationEffects(
        [*note.events, finalized], [*note.messages, *_build_decision_messages(detail)]
    )


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
        log.warning("A note with a decision was not posted: %s", error.message)
        return FinalizationEffects()
    informed = {detail.approval.agent_id, await LEAD_ID.first(session, board_id=detail.board.id)}
    outgoing = [message for message in comment.outgoing if message.to not in informed]
    return FinalizationEffects(comment.new_events, outgoing)


LEAD_ID: Query[UUID] = Query(
    select(Agent.id).where(Agent.board_id == bindparam("board_id"), Agent.is_board_lead).limit(1),
    itemgetter(0),
)


def _build_decision_messages(detail: ApprovalDetail) -> list[OutgoingMessage]:
    """Build the messages to the lead of the board and to the requesting agent.

    Both have the same key, so a lead that made the request gets only one. The client that asked
    for a tool call gets the answer itself.
    """
    approval = detail.approval
    if approval.is_tool_call:
        return []
    message = OutgoingMessage(
        to=messages.BoardLeadRecipient(detail.board),
        content=messages.templates.render_approval_decision(
            detail.board, approval, detail.task_ids
        ),
        key=f"approval:{approval.id}:{approval.resolved_at}",
        board=detail.board,
        task=detail.task_ids[0] if detail.task_ids else None,
        approval=approval,
        sender=detail.decider,
    )
    to_lead = replace(
        message,
        on_delivered=EventType.APPROVAL_LEAD_NOTIFIED,
        on_failed=EventType.APPROVAL_LEAD_NOTIFY_FAILED,
        event_data={"question": detail.question, "status": approval.status},
    )
    return [to_lead, replace(message, to=detail.agent)] if detail.agent else [to_lead]


async def wake_workers(session: AsyncSession) -> None:
    """Wake the workers on commit, so that they plan the next finalization."""
    await outbox.wake_workers(session, DECISIONS_TOPIC)


async def publish_effects(session: AsyncSession, effects: Sequence[FinalizationEffects]) -> None:
    """Record the events and enqueue the messages. Call it after all other changes."""
    outgoing = [message for effect in effects for message in effect.messages]
    new_events = [event for effect in effects for event in effect.events]
    await messages.enqueue_messages(session, outgoing, new_events=new_events)


async def complete_tasks(session: AsyncSession, decided: Iterable[ApprovalDetail]) -> None:
    """Move the open tasks of final approvals to done, as far as the rules of the board allow it.

    The boards are locked. Call it after the effects of the decisions were published, so that a task
    is completed after its approval. A task that was changed after the approval is not moved. The
    code of the rule that does not allow it is stored with the approval; all checks of a task come
    before its first change.
    """
    for detail in decided:
        approval = detail.approval
        is_final = approval.status is ApprovalStatus.APPROVED
        if not (approval.moves_tasks_to_done and is_final and detail.decider):
            continue
        changed_ids = {task.id for task in detail.tasks if task.is_changed}
        ids = select(Task.id).where(Task.id.in_(detail.task_ids), Task.status != Status.DONE)
        for task_id in await session.scalars(ids.order_by(Task.id)):
            if task_id in changed_ids:
                approval.completion_error = "task_changed"
                continue
            try:
                done = tasks.TaskUpdate.of(status=Status.DONE)
                await tasks.update_task(session, detail.decider, detail.board, task_id, done)
            except AppError as error:
                log.info("A task was not completed with its approval: %s", error.message)
                approval.completion_error = error.code
