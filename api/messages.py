"""Messages to agents, as JSON: what an agent fetches, and what people see of it."""

from uuid import UUID

from pydantic import Field

from api.fields import Answer, Moment, Paged
from api.operations import Call, may_answer
from kit.paging import Page
from models import Agent, MessageState
from services import messages

OF_STATE = "`queued`: it waits; `sent`: handed over by a carrier; `acknowledged`; `failed`."


class MessageRead(Answer):
    """A message to an agent. The first line of its content is its kind."""

    id: UUID
    kind: str = Field(examples=["TASK ASSIGNED"])
    content: str
    board_id: UUID | None
    task_id: UUID | None
    approval_id: UUID | None
    deliver: bool = Field(description="Whether it is to be said out loud on the agent's channel.")
    state: MessageState = Field(description=OF_STATE)
    attempts: int = Field(description="How often a carrier has tried to hand it over.")
    created_at: Moment
    sent_at: Moment | None = Field(description="When the agent had it, or a carrier was rid of it.")
    acknowledged_at: Moment | None


class AgentMessageRead(MessageRead):
    """A message to an agent, with what people want to know of it."""

    agent_id: UUID
    last_error: str | None = Field(description="Why it has failed.")
    from_agent_id: UUID | None
    from_user_id: UUID | None


class MessageFilter(Paged):
    """Which messages to list."""

    state: MessageState | None = Field(default=None, description=OF_STATE)


class WaitingFilter(Paged):
    """Which of one's own messages to list."""

    state: MessageState | None = Field(
        default=None, description=f"{OF_STATE} Without it: those that are not acknowledged yet."
    )


async def list_my_messages(call: Call, query: WaitingFilter) -> Page[MessageRead]:
    """List the calling agent's messages, oldest first: those it has not acknowledged yet.

    Acknowledge each as soon as you have it, before you act on it or after, but do: until then it
    comes again, and whoever has sent it does not know that you were told.
    """
    found = await messages.for_agent(call.session, call.agent, query.paging, state=query.state)
    return found.map(MessageRead.model_validate)


@may_answer(404)
async def acknowledge_message(call: Call, message_id: UUID) -> MessageRead:
    """Say that one has a message. Saying so again changes nothing."""
    taken = await messages.acknowledge(call.session, call.agent, message_id)
    return MessageRead.model_validate(taken)


async def list_agent_messages(
    call: Call, agent: Agent, query: MessageFilter
) -> Page[AgentMessageRead]:
    """List what was written to an agent, newest first, for those who read its board."""
    found = await messages.of_agent(call.session, agent, query.paging, state=query.state)
    return found.map(AgentMessageRead.model_validate)


@may_answer(404, 409)
async def retry_message(call: Call, agent: Agent, message_id: UUID) -> AgentMessageRead:
    """Send a message that has failed once more, for admins. One that waits is left as it is."""
    waits = await messages.retry(call.session, call.actor, agent, message_id)
    return AgentMessageRead.model_validate(waits)
