"""What is written down about an approval, whatever happens to it."""

from sqlalchemy.ext.asyncio import AsyncSession

from models import Actor, EventType
from services import events
from services.approvals.details import ApprovalDetail


async def record(
    session: AsyncSession,
    type: EventType,
    actor: Actor | None,
    detail: ApprovalDetail,
    **more: object,
) -> None:
    """Write down what happened to an approval, and what was asked."""
    await events.record_all(session, [fact(type, actor, detail, **more)])


def fact(
    type: EventType, actor: Actor | None, detail: ApprovalDetail, **more: object
) -> events.Happened:
    """Return what is to be written down about an approval."""
    return events.Happened(
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
            **more,
        },
    )
