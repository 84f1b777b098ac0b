"""An agent's messages, told as they come."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from starlette.responses import Response

from api.fields import Answer, Following
from api.frames import Writer, frame
from api.messages import MessageRead
from api.operations import Call
from api.streams import Channel, Rights, follow
from kit.http import Session
from models import Agent, Event, EventType, Message
from services import boards, messages

QUEUED = frozenset({EventType.MESSAGE_QUEUED})


class MessageTold(Answer):
    """What the stream tells: a message that waits for the agent."""

    message: MessageRead

    @classmethod
    def of(cls, message: Message) -> "MessageTold":
        """Make one of a row."""
        return cls(message=MessageRead.model_validate(message))


async def stream_my_messages(call: Call, query: Following) -> Response:
    """Follow the calling agent's messages as they come, and as they are sent once more.

    Each is an event `message` with `message`. What waited before is not told without `since`: list
    it first. A message that is told still has to be acknowledged.
    """
    me = call.agent

    async def look(session: Session) -> Rights:
        read = await boards.readable_ids(session, me, me.organization_id)
        return frozenset({None, *read})

    channel = Channel("message", QUEUED, _messages_to(me), agent_id=me.id)
    return await follow(call, channel, me.organization_id, query, look)


def _messages_to(agent: Agent) -> Writer:
    async def write(session: Session, heard: Sequence[Event]) -> Mapping[int, bytes]:
        ids = {event.seq: UUID(event.data["message_id"]) for event in heard}
        found = await messages.several(session, agent.id, set(ids.values()))
        told = {seq: MessageTold.of(found[id]) for seq, id in ids.items() if id in found}
        return {seq: frame("message", seq, message) for seq, message in told.items()}

    return write
