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
from services.messages.reading import hold, meant_for

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


async def acknowledge(session: AsyncSession, agent: Agent, message_id: UUID) -> Message:
    """Note that an agent has a message of its own. Saying so again changes nothing.

    Only now it is recorded that the agent was told, unless a carrier has handed it over before.
    Raises NotFound.
    """
    message = await hold(session, message_id, meant_for(agent))
    if message.state is MessageState.ACKNOWLEDGED:
        return message
    was_sent = message.state is MessageState.SENT
    message.acknowledge(now())
    acknowledged = _happened(message, EventType.MESSAGE_ACKNOWLEDGED, agent)
    told = [] if was_sent else _as_agreed(message, "told")
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

    It may run as often as one likes, and in several workers at once. It takes BATCH at a time.
    """
    forgotten = select(Message).where(
        Message.state == MessageState.QUEUED, Message.next_try_at < now() - patience
    )
    forgotten = forgotten.order_by(Message.next_try_at, Message.seq).limit(BATCH)
    found = (await session.scalars(forgotten.with_for_update(skip_locked=True))).all()
    happened: list[events.Happened] = []
    for message in found:
        message.fail(f"The agent has not fetched it for {patience.days} days.")
        failed = _happened(message, EventType.MESSAGE_FAILED, None)
        happened += [failed, *_as_agreed(message, "failed")]
    await events.record_all(session, happened)
    return len(found)


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
