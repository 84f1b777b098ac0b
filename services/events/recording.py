"""Writing down what happened, and reading it again in order."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.doorbell import ring
from models import Actor, Agent, Approval, Board, Event, EventType, Task, User, new_id

BATCH = 200  # events in one look


async def record(
    session: AsyncSession,
    type: EventType,
    actor: Actor | None,
    *,
    organization_id: UUID,
    board: Board | None = None,
    task: Task | None = None,
    approval: Approval | None = None,
    about: Agent | None = None,
    id: UUID | None = None,
    data: dict[str, object] | None = None,
) -> Event:
    """Write down what happened, and ring the organization's followers when the transaction commits.

    `about` is the agent to whom it happened, where that is not the one who acts. Call it last:
    from here to the commit no other transaction can record in the same organization, so numbers
    appear in order, and a follower that has read number 7 will never find a new number 6.
    """
    await _one_at_a_time(session, organization_id)
    agent = about or (actor if isinstance(actor, Agent) else None)
    event = Event(
        id=id or new_id(),
        type=type,
        organization_id=organization_id,
        board_id=board.id if board else None,
        task_id=task.id if task else None,
        approval_id=approval.id if approval else None,
        agent_id=agent.id if agent else None,
        user_id=actor.id if isinstance(actor, User) else None,
        data=data or {},
        created_at=now(),
    )
    session.add(event)
    await session.flush()
    await ring(session, str(organization_id))
    return event


async def latest(session: AsyncSession, organization_id: UUID) -> int:
    """Return the number of the organization's last event, or 0."""
    newest = select(Event.seq).where(Event.organization_id == organization_id)
    return await session.scalar(newest.order_by(Event.seq.desc()).limit(1)) or 0


async def before(session: AsyncSession, organization_id: UUID, moment: datetime) -> int:
    """Return the number of the organization's last event before a moment, or 0."""
    earlier = select(Event.seq).where(
        Event.organization_id == organization_id, Event.created_at < moment
    )
    return await session.scalar(earlier.order_by(Event.seq.desc()).limit(1)) or 0


async def after(session: AsyncSession, organization_id: UUID, seq: int) -> Sequence[Event]:
    """Return the organization's first events after number `seq`, at most BATCH of them."""
    later = select(Event).where(Event.organization_id == organization_id, Event.seq > seq)
    return (await session.scalars(later.order_by(Event.seq).limit(BATCH))).all()


async def _one_at_a_time(session: AsyncSession, organization_id: UUID) -> None:
    key = func.hashtextextended(str(organization_id), 0)
    await session.execute(select(func.pg_advisory_xact_lock(key)))
