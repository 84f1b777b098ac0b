"""How tests ask for approvals and answer them, and what is written down of it."""

from sqlalchemy import select

from models import Approval, ApprovalStatus, Event, EventType
from services import approvals, messages

PENDING, APPROVED, REJECTED = ApprovalStatus


async def events(session) -> list[Event]:
    """Return what happened, but for what was told of it."""
    happened = select(Event).where(Event.type.not_in(messages.EVENTS))
    return list(await session.scalars(happened.order_by(Event.seq)))


async def types(session) -> list[EventType]:
    """Return which kinds of things happened, one after the other."""
    return [event.type for event in await events(session)]


async def add(session, world, *tasks, **fields) -> Approval:
    """Let the worker have asked about tasks."""
    rows = world.approval(*tasks, agent_id=world.worker.id, **fields)
    session.add_all([*tasks, *rows])
    await session.flush()
    return rows[0]


async def answer(session, user, approval, status=APPROVED, *, note=None, undo_seconds=8):
    """Answer as on a page."""
    return await approvals.answer(
        session, user, approval.id, status=status, note=note, undo_seconds=undo_seconds
    )
