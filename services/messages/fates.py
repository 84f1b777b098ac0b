"""What becomes of messages: the agent takes them, nobody does, or they are sent once more."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict
from models import Actor, Agent, EventType, Message, MessageState
from services import events
from services.messages.reading import WAITING, hold, meant_for

PATIENCE = timedelta(days=7)  # for which a message waits for its agent
BATCH = 500  # messages that are given up in one transaction

EVENTS = frozenset(
    {
        EventType.MESSAGE_QUEUED,
        EventType.MESSAGE_SENT,
        EventType.MESSAGE_ACKNOWLEDGED,
        EventType.MESSAGE_FAILED,
    }
)
"""What is recorded of messages themselves: for streams, and of no interest in a feed."""


EVENT_OF = {
    MessageState.QUEUED: EventType.MESSAGE_QUEUED,
    MessageState.SENT: EventType.MESSAGE_SENT,
    MessageState.ACKNOWLEDGED: EventType.MESSAGE_ACKNOWLEDGED,
    MessageState.FAILED: EventType.MESSAGE_FAILED,
}
"""What is recorded of a message that has come into a state."""


async def acknowledge(session: AsyncSession, agent: Agent, message_id: UUID) -> Message:
    """Note that an agent has a message of its own. Saying so again changes nothing.

    Only now it is recorded that the agent was told, unless a carrier has handed it over before.
    Raises NotFound.
    """
    message = await hold(session, message_id, meant_for(agent))
    if message.state is MessageState.ACKNOWLEDGED:
        return message
    was_told = message.sent_at is not None
    message.acknowledge(now())
    acknowledged = _happened(message, EventType.MESSAGE_ACKNOWLEDGED, agent)
    told = [] if was_told else _as_agreed(message, "told")
    await events.record_all(session, [acknowledged, *told])
    return message


async def retry(session: AsyncSession, actor: Actor, agent: Agent, message_id: UUID) -> Message:
    """Send a message that has failed once more. One that waits already is left as it is.

    Raises NotFound, and Conflict where the agent has it.
    """
    message = await hold(session, message_id, Message.agent_id == agent.id)
    if message.state is MessageState.QUEUED:
        return message
    if message.state is not MessageState.FAILED:
        raise Conflict("message_not_failed", "The agent has this message already.")
    message.wait_again(now())
    waits = _happened(message, EventType.MESSAGE_QUEUED, actor)
    await events.record_all(session, [waits])
    return message


async def give_up(session: AsyncSession, *, patience: timedelta = PATIENCE) -> int:
    """Let those messages fail that nobody has taken for too long, and say how many they were.

    So do those that were handed over, and of which nobody learned what became of them. It may run
    as often as one likes, and in several workers at once. It takes BATCH at a time.
    """
    forgotten = (
        select(Message, Agent.gateway_id)
        .join(Agent, Agent.id == Message.agent_id)
        .where(Message.state.in_(WAITING), Message.next_try_at < now() - patience)
        .order_by(Message.next_try_at, Message.seq)
        .limit(BATCH)
    )
    found = (await session.execute(forgotten.with_for_update(of=Message, skip_locked=True))).all()
    happened: list[events.Happened] = []
    for message, gateway_id in found:
        message.fail(_why(message, patience, is_carried=gateway_id is not None))
        happened += happened_to(message)
    await events.record_all(session, happened)
    return len(found)


def happened_to(message: Message, *, is_news: bool = True) -> list[events.Happened]:
    """Return what is to be recorded of a message that has come into its state by itself.

    With it goes what its writer wants recorded then, if it is news that it has come so far.
    """
    fates = {MessageState.SENT: "told", MessageState.FAILED: "failed"}
    agreed = _as_agreed(message, fates.get(message.state, "")) if is_news else ()
    return [_happened(message, EVENT_OF[message.state], None), *agreed]


def _why(message: Message, patience: timedelta, *, is_carried: bool) -> str:
    if message.state is MessageState.SENT:
        return f"Nobody could find out for {patience.days} days what has become of it."
    if is_carried:
        return f"It could not be handed over for {patience.days} days."
    return f"The agent has not fetched it for {patience.days} days."


def _as_agreed(message: Message, fate: str) -> Iterator[events.Happened]:
    """Return what whoever wrote a message wants recorded once it has met a fate."""
    agreed = message.told_as or {}
    if agreed.get(fate):
        happened = _happened(message, EventType(agreed[fate]), None, **agreed["data"])
        yield replace(happened, about=UUID(agreed["of"])) if "of" in agreed else happened


def _happened(
    message: Message, type: EventType, actor: Actor | None, **more: object
) -> events.Happened:
    error = {"error": message.last_error} if message.last_error else {}
    return events.Happened(
        type,
        actor,
        organization_id=message.organization_id,
        board=message.board_id,
        task=message.task_id,
        approval=message.approval_id,
        about=message.agent_id,
        data={**more, "message_id": str(message.id), "kind": message.kind, **error},
    )
