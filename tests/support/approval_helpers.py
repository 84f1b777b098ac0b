"""Create and decide approvals, and read the recorded events."""

from itertools import chain

from sqlalchemy import select

from models import Approval, ApprovalStatus, Event, EventType
from services import approvals
from tests.support.board_helpers import MESSAGE_EVENTS

PENDING, APPROVED, REJECTED = ApprovalStatus


async def list_recorded_events(session) -> list[Event]:
    """Return the recorded events without those of messages."""
    query = select(Event).where(Event.type.not_in(MESSAGE_EVENTS))
    return list(await session.scalars(query.order_by(Event.seq)))


async def list_event_types(session) -> list[EventType]:
    """Return the types of the recorded events in order."""
    return [event.type for event in await list_recorded_events(session)]


async def add_approval(session, world, *tasks, **fields) -> Approval:
    """Add an approval that the worker has requested for tasks."""
    rows = world.make_approval(*tasks, agent_id=world.worker.id, **fields)
    session.add_all([*tasks, *rows])
    await session.flush()
    return rows[0]


async def decide_approval(session, user, approval, status=APPROVED, *, note=None, undo_seconds=8):
    """Decide an approval as a page does."""
    return await approvals.decide_with_undo(
        session, user, approval.id, status=status, note=note, undo_seconds=undo_seconds
    )


async def store_long_requests(session, world, count) -> list[Approval]:
    """Store approvals of a task each whose payloads have 120,000 characters and many values."""
    payload = {"title": "Ship", "data": {f"key {number}": number / 8 for number in range(6_500)}}
    task = world.make_task("Ship")
    rows = [world.make_approval(task, payload=payload) for _ in range(count)]
    session.add_all([task, *chain(*rows)])
    return [one[0] for one in rows]
