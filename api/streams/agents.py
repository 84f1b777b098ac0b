"""Streams of agents and of their messages (contract, agents 7.8)."""

from collections.abc import Mapping, Sequence
from functools import partial
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.endpoints.agent_models import AgentRead
from api.endpoints.messages import MessageRead
from api.framework.fields import ResponseModel, StreamQuery
from api.framework.handler import RequestContext, error_responses
from api.streams.seen_agents import SeenAgentsReport
from api.streams.sse_cache import FrameWriter, format_frame
from api.streams.subscription import (
    AllowedIds,
    StreamDefinition,
    get_current_membership,
    list_readable_board_ids,
    open_stream,
)
from core.http.request import Session
from models import Agent, Event, EventType, Gateway, Member, Message
from services import agents, boards, gateways, messages, organizations

AGENT_EVENT_TYPES = frozenset(
    {
        EventType.AGENT_CREATED,
        EventType.AGENT_UPDATED,
        EventType.AGENT_DELETED,
        EventType.AGENT_STATUS_CHANGED,
        EventType.AGENT_HELD,
        EventType.AGENT_RELEASED,
        EventType.AGENT_PAUSED,
        EventType.AGENT_RESUMED,
    }
)


class AgentStreamQuery(StreamQuery):
    """Which agents to stream."""

    board_id: UUID | None = Field(default=None, description="Only of this board.")


class AgentMessage(ResponseModel):
    """A stream message with the current agent."""

    agent: AgentRead


class AgentDeletedMessage(ResponseModel):
    """A stream message about a deleted agent."""

    agent_id: UUID


@error_responses(404)
async def stream_agents(
    context: RequestContext, member: Member, query: AgentStreamQuery
) -> Response:
    """Stream changes of agents on gateways and on boards that the user may read.

    Each message is an event `agent` with `agent`. A deleted agent is an event `agent.deleted` with
    `agent_id`. While an agent calls, its `last_seen_at` is reported at most every 15 seconds, in a
    message without an id. So is an agent whose status changes without an event, because its gateway
    is unreachable or it is silent for too long.
    """
    organization_id = member.organization_id

    async def load_allowed_ids(session: Session) -> AllowedIds:
        current = await get_current_membership(session, context.user, organization_id)
        organizations.require_admin(current)
        read = await list_readable_board_ids(session, current, query.board_id)
        return read if query.board_id else read | {None}  # the main agent of a gateway has no board

    def start_report() -> SeenAgentsReport:
        return SeenAgentsReport(
            context.request, organization_id, partial(_format_agent, context, None)
        )

    definition = StreamDefinition(
        "agent",
        AGENT_EVENT_TYPES,
        _agent_frame_writer(context, organization_id),
        start_report=start_report,
    )
    return await open_stream(context, definition, organization_id, query, load_allowed_ids)


def _agent_frame_writer(context: RequestContext, organization_id: UUID) -> FrameWriter:
    async def write(session: Session, received: Sequence[Event]) -> Mapping[int, bytes]:
        ids = {event.agent_id for event in received if event.agent_id}
        found = await agents.load_agents(session, organization_id, ids)
        known = await gateways.load_agent_gateways(session, found.values())
        return {
            event.seq: _format_agent_frame(context, event, found, known)
            for event in received
            if event.agent_id
        }

    return write


def _format_agent_frame(
    context: RequestContext,
    event: Event,
    found: Mapping[UUID, Agent],
    known: Mapping[UUID, Gateway],
) -> bytes:
    assert event.agent_id is not None
    agent = found.get(event.agent_id)
    if agent is None:
        return format_frame(
            "agent.deleted", event.seq, AgentDeletedMessage(agent_id=event.agent_id)
        )
    return _format_agent(context, event.seq, agent, known.get(agent.gateway_id))


def _format_agent(
    context: RequestContext, seq: int | None, agent: Agent, gateway: Gateway | None
) -> bytes:
    return format_frame("agent", seq, AgentMessage(agent=AgentRead.of(agent, gateway, context)))


MESSAGE_EVENT_TYPES = frozenset({EventType.MESSAGE_QUEUED})


class QueuedMessage(ResponseModel):
    """A stream message with a message that is queued for the agent."""

    message: MessageRead

    @classmethod
    def of(cls, message: Message) -> "QueuedMessage":
        """Build the message from a row."""
        return cls(message=MessageRead.model_validate(message))


async def stream_my_messages(context: RequestContext, query: StreamQuery) -> Response:
    """Stream the calling agent's messages when they are queued or retried.

    Each is an event `message` with `message`. Without `since`, earlier messages are not included:
    list them first. A streamed message still has to be acknowledged.
    """
    calling_agent = context.agent

    async def load_allowed_ids(session: Session) -> AllowedIds:
        read = await boards.list_readable_board_ids(
            session, calling_agent, calling_agent.organization_id
        )
        return frozenset({None, *read})

    definition = StreamDefinition(
        "message",
        MESSAGE_EVENT_TYPES,
        _message_frame_writer(calling_agent),
        agent_id=calling_agent.id,
    )
    return await open_stream(
        context, definition, calling_agent.organization_id, query, load_allowed_ids
    )


def _message_frame_writer(agent: Agent) -> FrameWriter:
    async def write(session: Session, received: Sequence[Event]) -> Mapping[int, bytes]:
        ids = {event.seq: UUID(event.data["message_id"]) for event in received}
        found = await messages.load_messages(session, agent, set(ids.values()))
        messages_by_seq = {
            seq: QueuedMessage.of(found[id]) for seq, id in ids.items() if id in found
        }
        return {
            seq: format_frame("message", seq, message) for seq, message in messages_by_seq.items()
        }

    return write
