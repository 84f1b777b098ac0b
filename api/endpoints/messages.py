"""Messages to agents, for the agents themselves and for users."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.framework.agent_operations import declare_agent
from api.framework.dependencies import agent_for_admin, agent_for_read
from api.framework.fields import PageQuery, ResponseModel, StreamQuery, Timestamp
from api.framework.news import WaitQuery
from api.framework.operation import (
    USER,
    Operation,
    error_responses,
    has_items,
    reads_only,
    sends_events,
    waits_for_news,
)
from api.framework.request_context import RequestContext
from api.streams.subscription import (
    AllowedIds,
    StreamDefinition,
    format_frame,
    open_stream,
)
from core.clock import now
from core.http.request import Session
from core.json_responses import Encoded, build_encoder, encode_page, json_id
from core.paging import Page
from models import Agent, Event, EventType, Message, MessageState
from services import boards, messages, pending_reasons

STATE_DESCRIPTION = (
    "`queued`: pending; `sent`: the agent's gateway has it, and the turn is not complete; "
    "`acknowledged`: the agent has it; `failed`."
)


class MessageRead(ResponseModel):
    """A message to an agent. The first line of its content is its kind."""

    id: UUID
    kind: str = Field(examples=["TASK ASSIGNED"])
    content: str
    board_id: UUID | None
    task_id: UUID | None
    approval_id: UUID | None
    deliver: bool = Field(description="Whether it is also delivered to the agent's channel.")
    state: MessageState = Field(description=STATE_DESCRIPTION)
    attempts: int = Field(description="Number of delivery attempts.")
    created_at: Timestamp
    sent_at: Timestamp | None = Field(
        description="When the agent fetched it, or when it was delivered."
    )
    acknowledged_at: Timestamp | None


encode_message = build_encoder(MessageRead)


class WaitRead(ResponseModel):
    """Why a message is pending."""

    reason: pending_reasons.PendingReason = Field(
        description="`agent`: the agent has to fetch it; `gateway_away`; `agent_starting`; "
        "`board_paused`; `organization_stopped`; `agent_held`: until a person releases it; "
        "`gateway_busy`: it is retried; `carrier`: delivery starts soon; "
        "`turn`: the agent is working on it."
    )
    since: Timestamp | None
    sentence: str = Field(examples=["Workshop is away. Nobody listens on port 18789."])


encode_wait = build_encoder(WaitRead)


class AgentMessageRead(MessageRead):
    """A message to an agent, with delivery data for users."""

    agent_id: UUID
    last_error: str | None = Field(description="The error of the last attempt.")
    from_agent_id: UUID | None
    from_user_id: UUID | None
    run_id: str | None = Field(
        description="The turn that the message started on the agent's gateway. Null: no turn yet, "
        "or no valid one."
    )
    waits_for: WaitRead | None
    task_is_untouched: bool = Field(
        description="The agent acknowledged it more than 5 minutes ago, has not acted on the task"
        " since, and is not working. It can be sent again."
    )


def _build_agent_message_fields(
    message: Message,
    delivery_conditions: pending_reasons.DeliveryConditions,
    *,
    task_is_untouched: bool = False,
) -> dict[str, Any]:
    """Return the fields of an AgentMessageRead, in the order of the model."""
    is_started = message.state in (MessageState.SENT, MessageState.ACKNOWLEDGED)
    pending = delivery_conditions.pending_status(message, now())
    return encode_message(message) | {
        "agent_id": json_id(message.agent_id),
        "last_error": message.last_error,
        "from_agent_id": json_id(message.from_agent_id),
        "from_user_id": json_id(message.from_user_id),
        "run_id": message.run_id if is_started and message.attempts else None,
        "waits_for": encode_wait(pending) if pending else None,
        "task_is_untouched": task_is_untouched,
    }


class MessageFilter(PageQuery):
    """Which messages to list."""

    state: MessageState | None = Field(default=None, description=STATE_DESCRIPTION)


class WaitingFilter(PageQuery, WaitQuery):
    """Which of the agent's own messages to list."""

    state: MessageState | None = Field(
        default=None,
        description=f"{STATE_DESCRIPTION} Default: messages that are not acknowledged yet.",
    )


@waits_for_news(has_items)
@reads_only
async def list_my_messages(
    context: RequestContext, query: WaitingFilter
) -> Encoded[Page[MessageRead]]:
    """List the calling agent's messages, oldest first; by default those not yet acknowledged.

    Acknowledge each message when you have received it, before or after you act on it. Until then it
    is delivered again, and the sender does not know that you received it.
    """
    found = await messages.list_inbox(
        context.source, context.agent, query.paging, state=query.state
    )
    return encode_page(found, encode_message)


@error_responses(404)
async def acknowledge_message(context: RequestContext, message_id: UUID) -> Encoded[MessageRead]:
    """Acknowledge a message. Repeating the call has no effect."""
    acknowledged = await messages.acknowledge_message(context.session, context.agent, message_id)
    return Encoded(encode_message(acknowledged))


@reads_only
async def list_agent_messages(
    context: RequestContext, agent: Agent, query: MessageFilter
) -> Encoded[Page[AgentMessageRead]]:
    """List the messages to an agent, newest first, for users who may read its board."""
    delivery_conditions = pending_reasons.DeliveryConditions.from_agent(agent)
    found = await messages.list_agent_messages(
        context.source, agent, query.paging, state=query.state
    )
    idle_ids = await messages.list_without_action(context.source, agent, found.items)
    return encode_page(
        found,
        lambda message: _build_agent_message_fields(
            message, delivery_conditions, task_is_untouched=message.id in idle_ids
        ),
    )


@error_responses(404, 409)
async def retry_message(
    context: RequestContext, agent: Agent, message_id: UUID
) -> Encoded[AgentMessageRead]:
    """Send a failed message again, or one without an action, for admins.

    A pending message is not changed.
    """
    message = await messages.retry_message(context.session, context.actor, agent, message_id)
    conditions = await pending_reasons.load_delivery_conditions(context.session, agent)
    return Encoded(_build_agent_message_fields(message, conditions))


class QueuedMessage(ResponseModel):
    """A stream message with a message that is queued for the agent."""

    message: MessageRead


@sends_events({"message": QueuedMessage})
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

    async def write_frames(session: Session, received: Sequence[Event]) -> Mapping[int, bytes]:
        ids = {event.seq: UUID(event.data["message_id"]) for event in received}
        found = await messages.load_messages(session, calling_agent, set(ids.values()))
        frames = {}
        for seq, id in ids.items():
            if id in found:
                message = QueuedMessage(message=MessageRead.model_validate(found[id]))
                frames[seq] = format_frame("message", seq, message)
        return frames

    definition = StreamDefinition(
        "message", (EventType.MESSAGE_QUEUED,), write_frames, agent_id=calling_agent.id
    )
    return await open_stream(
        context, definition, calling_agent.organization_id, query, load_allowed_ids
    )


OUTBOX = "/agents/{agent_id}/messages"

OPERATIONS = [
    Operation("GET", OUTBOX, list_agent_messages, USER, ["agents"], agent_for_read),
    Operation(
        "POST", OUTBOX + "/{message_id}/retry", retry_message, USER, ["agents"], agent_for_admin
    ),
    declare_agent("GET", "/messages", list_my_messages, "agent_message_discovery"),
    declare_agent("GET", "/messages/stream", stream_my_messages, "agent_message_stream"),
    declare_agent("POST", "/messages/{message_id}/ack", acknowledge_message, "agent_message_ack"),
]
