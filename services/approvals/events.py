"""Build events of approvals, and messages about finalized ones to agents."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from models import Actor, Agent, EventType
from services import events, messages
from services.approvals.details import ApprovalDetail


def lead_decision_message(detail: ApprovalDetail) -> messages.OutgoingMessage:
    """Build the message to the lead of the board."""
    return replace(
        _decision_message(detail, messages.BoardLeadRecipient(detail.board)),
        on_delivered=EventType.APPROVAL_LEAD_NOTIFIED,
        on_failed=EventType.APPROVAL_LEAD_NOTIFY_FAILED,
        event_data={"question": detail.question, "status": detail.approval.status},
    )


def requester_decision_messages(detail: ApprovalDetail) -> Sequence[messages.OutgoingMessage]:
    """Build the message to the requesting agent, if any.

    It has the same key as the message to the lead, so a lead that made the request gets only one.
    """
    return [_decision_message(detail, detail.agent)] if detail.agent else []


def _decision_message(
    detail: ApprovalDetail, to: Agent | messages.BoardLeadRecipient
) -> messages.OutgoingMessage:
    approval = detail.approval
    return messages.OutgoingMessage(
        to=to,
        content=messages.templates.render_approval_decision(
            detail.board, approval, detail.task_ids
        ),
        key=f"approval:{approval.id}:{approval.resolved_at}",
        board=detail.board,
        task=detail.task_ids[0] if detail.task_ids else None,
        approval=approval,
        sender=detail.decider,
    )


async def record_approval_event(
    session: AsyncSession,
    type: EventType,
    actor: Actor | None,
    detail: ApprovalDetail,
    **more: object,
) -> None:
    """Record an event of an approval."""
    await events.record_events(session, [approval_event(type, actor, detail, **more)])


def approval_event(
    type: EventType, actor: Actor | None, detail: ApprovalDetail, **more: object
) -> events.NewEvent:
    """Build an event of an approval. `more` is added to its data."""
    return events.NewEvent(
        type,
        actor,
        organization_id=detail.board.organization_id,
        board=detail.board,
        task=detail.tasks[0].id if detail.tasks else None,
        approval=detail.approval,
        data={
            "status": detail.approval.status,
            "action_type": detail.approval.action_type,
            "question": detail.question,
            "titles": detail.task_titles,
            "confidence": detail.approval.confidence,
            "action_hash": detail.approval.action_hash,
            "completes_tasks": detail.completes_tasks,
            **more,
        },
    )
