"""Messages to agents, as JSON: what an agent fetches, and what people see of it."""

from uuid import UUID

from pydantic import Field

from api.fields import Answer, Moment, Paged
from api.operations import Call, may_answer
from kit.clock import now
from kit.paging import Page
from models import Agent, Message, MessageState
from services import mailboxes, messages

OF_STATE = (
    "`queued`: it waits; `sent`: the agent's gateway has it, and its turn is not over; "
    "`acknowledged`: the agent has it; `failed`."
)


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


class WaitRead(Answer):
    """What a message waits for."""

    reason: mailboxes.Reason = Field(
        description="`agent`: it has to fetch it; `gateway_away`; `agent_starting`; "
        "`board_paused`; `gateway_busy`: it is asked again; `carrier`: for a moment; "
        "`turn`: the agent is at work on it."
    )
    since: Moment | None
    sentence: str = Field(examples=["Workshop is away. Nobody listens on port 18789."])


class AgentMessageRead(MessageRead):
    """A message to an agent, with what people want to know of it."""

    agent_id: UUID
    last_error: str | None = Field(description="Why it has failed, or the last attempt has.")
    from_agent_id: UUID | None
    from_user_id: UUID | None
    run_id: str | None = Field(
        description="The turn that it has begun on the agent's gateway. Null: none yet, or none "
        "that counts."
    )
    waits_for: WaitRead | None

    @classmethod
    def of(cls, message: Message, mailbox: mailboxes.Mailbox) -> "AgentMessageRead":
        """Make one of a row."""
        shown = cls.model_fields.keys() - {"run_id", "waits_for"}
        has_begun = message.state in (MessageState.SENT, MessageState.ACKNOWLEDGED)
        return cls(
            **{name: getattr(message, name) for name in shown},
            run_id=message.run_id if has_begun and message.attempts else None,
            waits_for=mailbox.wait_of(message, now()),
        )


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
    mailbox = mailboxes.Mailbox.of(agent)
    found = await messages.of_agent(call.session, agent, query.paging, state=query.state)
    return found.map(lambda message: AgentMessageRead.of(message, mailbox))


@may_answer(404, 409)
async def retry_message(call: Call, agent: Agent, message_id: UUID) -> AgentMessageRead:
    """Send a message that has failed once more, for admins. One that waits is left as it is."""
    waits = await messages.retry(call.session, call.actor, agent, message_id)
    return AgentMessageRead.of(waits, await mailboxes.of_agent(call.session, agent))
