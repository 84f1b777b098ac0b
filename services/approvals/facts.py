"""What is written down about an approval, whatever happens to it."""

from sqlalchemy.ext.asyncio import AsyncSession

from models import Actor, Event, EventType
from services import events
from services.approvals.details import ApprovalDetail


async def record(
    session: AsyncSession,
    type: EventType,
    actor: Actor | None,
    detail: ApprovalDetail,
    **more: object,
) -> Event:
    """Write down what happened to an approval, and what was asked."""
    return await events.record(
        session,
        type,
        actor,
        organization_id=detail.board.organization_id,
        board=detail.board,
        task=detail.tasks[0] if detail.tasks else None,
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
