"""Acknowledge, retry and expire messages."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict
from core.text import N_
from models import Actor, Agent, EventType, Message, MessageState, Organization
from services import events
from services.messages.events import message_event, requested_events, status_events
from services.messages.missing_actions import list_without_action
from services.messages.queries import PENDING_STATES, addressed_to_condition, lock_message

DELIVERY_TIMEOUT = timedelta(days=7)
EXPIRY_BATCH_SIZE = 500  # messages in one transaction


async def acknowledge_message(session: AsyncSession, agent: Agent, message_id: UUID) -> Message:
    """Record that an agent has received one of its messages. Repeating this changes nothing.

    The events that the sender requested for the delivery are recorded now, unless a worker has sent
    the message before. Raises NotFound.
    """
    message = await lock_message(session, message_id, addressed_to_condition(agent))
    if message.state is MessageState.ACKNOWLEDGED:
        return message
    was_sent = message.sent_at is not None
    message.acknowledge(now())
    acknowledged = message_event(message, EventType.MESSAGE_ACKNOWLEDGED, agent)
    requested = [] if was_sent else requested_events(message, "told")
    await events.record_events(session, [acknowledged, *requested])
    return message


async def retry_message(
    session: AsyncSession, actor: Actor, agent: Agent, message_id: UUID
) -> Message:
    """Queue a failed message again, or one that led to no action. A queued one is left unchanged.

    Raises NotFound, and Conflict if the agent has received the message and may be working on it.
    """
    message = await lock_message(session, message_id, Message.agent_id == agent.id)
    if message.state is MessageState.QUEUED:
        return message
    is_idle = message.id in await list_without_action(session, agent, [message])
    if message.state is not MessageState.FAILED and not is_idle:
        raise Conflict("message_not_failed", N_("The agent has this message already."))
    message.requeue(now())
    queued = message_event(message, EventType.MESSAGE_QUEUED, actor)
    await events.record_events(session, [queued])
    return message


async def expire_undelivered(
    session: AsyncSession, *, max_age: timedelta = DELIVERY_TIMEOUT
) -> int:
    """Mark messages as failed that are pending for too long, and return their number.

    This includes sent messages whose turn has no known result. Messages that are held wait without
    a limit. It handles EXPIRY_BATCH_SIZE
    messages per call, and may run at any time, also in several workers at once.
    """
    is_working = Agent.held_at.is_(None) & Organization.stopped_at.is_(None)
    expired = (
        select(Message, Agent.gateway_id)
        .join(Agent, Agent.id == Message.agent_id)
        .join(Organization, Organization.id == Agent.organization_id)
        .where(Message.state.in_(PENDING_STATES), Message.waiting_since < now() - max_age)
        .where((Message.state != MessageState.QUEUED) | is_working)
        .order_by(Message.waiting_since, Message.seq)
        .limit(EXPIRY_BATCH_SIZE)
    )
    rows = (await session.execute(expired.with_for_update(of=Message, skip_locked=True))).all()
    new_events: list[events.NewEvent] = []
    for message, gateway_id in rows:
        message.fail(_expiry_reason(message, max_age, has_gateway=gateway_id is not None))
        new_events += status_events(message)
    await events.record_events(session, new_events)
    return len(rows)


def _expiry_reason(message: Message, max_age: timedelta, *, has_gateway: bool) -> str:
    if message.state is MessageState.SENT:
        return f"Nobody could find out for {max_age.days} days what has become of it."
    if has_gateway:
        return f"It could not be handed over for {max_age.days} days."
    return f"The agent has not fetched it for {max_age.days} days."
