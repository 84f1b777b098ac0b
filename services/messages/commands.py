"""Add messages to the outbox, and acknowledge, retry and expire them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Integer,
    String,
    Uuid,
    bindparam,
    column,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.transactions import Write, send_pending_changes
from core.errors import Conflict
from core.text import N_
from models import (
    AGENT_LOCK_ORDER,
    Actor,
    Agent,
    Approval,
    Board,
    EventType,
    Message,
    MessageState,
    Organization,
    Task,
    User,
    new_id,
)
from services import events
from services.messages.circuit_breakers import hold_flooded_agents
from services.messages.events import message_event, requested_events, status_events
from services.messages.missing_actions import list_without_action
from services.messages.queries import (
    PENDING_STATES,
    addressed_to_condition,
    lock_message,
    message_not_found,
    not_paused_condition,
)

DELIVERY_TIMEOUT = timedelta(days=7)
EXPIRY_BATCH_SIZE = 500  # messages in one transaction

CONTENT_COLUMNS: Mapping[str, Any] = {
    "id": Uuid(),
    "board_id": Uuid(),
    "task_id": Uuid(),
    "approval_id": Uuid(),
    "kind": String(),
    "content": String(),
    "deliver": Boolean(),
    "key": String(),
    "from_agent_id": Uuid(),
    "from_user_id": Uuid(),
    "delivery_events": JSONB(none_as_null=True),
    "created_at": DateTime(timezone=True),
    "waiting_since": DateTime(timezone=True),
}
"""The columns whose values come from an outgoing message."""

AGENT_COLUMNS: Mapping[str, Any] = {"agent_id": Agent.id, "organization_id": Agent.organization_id}
"""The columns whose values come from the recipient's row."""

INITIAL_VALUES: Mapping[str, ColumnElement[Any]] = {
    "state": literal(MessageState.QUEUED.value),
    "attempts": literal(0),
    "turn_number": literal(1),
    "lost_count": literal(0),
}


@dataclass(frozen=True)
class BoardLeadRecipient:
    """The agent that leads a board when the message is enqueued. Without a lead nothing is sent."""

    board: Board


@dataclass(frozen=True, kw_only=True)
class OutgoingMessage:
    """A message to enqueue.

    The recipient must be an agent of the organization in which the change happened.
    `kind` is the marker that agents use to recognize messages; by default it is the first line of
    the content. `key` prevents duplicates: a recipient gets one message per key. Without a key
    every message is sent. The events `on_delivered` and `on_failed` are recorded when the agent has
    received the message, or when the delivery has failed; `event_data` is their data.
    """

    to: Agent | UUID | BoardLeadRecipient
    content: str
    kind: str = ""
    key: str | None = None
    board: Board | None = None
    task: Task | UUID | None = None
    approval: Approval | None = None
    sender: Actor | None = None
    deliver: bool = False  # also post it to the agent's channel
    on_delivered: EventType | None = None
    on_failed: EventType | None = None
    event_subject: Agent | None = None  # of those events; by default the recipient
    event_data: Mapping[str, object] = field(default_factory=dict)

    @property
    def marker(self) -> str:
        """The kind, or the first line of the content."""
        return self.kind or self.content.partition("\n")[0]


async def enqueue_messages(
    session: AsyncSession,
    outgoing: Sequence[OutgoingMessage],
    *,
    new_events: Sequence[events.NewEvent] = (),
) -> list[UUID]:
    """Add messages to the outbox, and record `new_events`, then one event for each message.

    It uses a single INSERT. Messages to deleted agents, and those whose key the recipient already
    has, are omitted. An agent that receives too many is held. Returns the ids of the messages that
    were added.
    """
    await send_pending_changes(session)
    by_id = {new_id(): message for message in outgoing}
    rows = [{"position": position, **_row(*item)} for position, item in enumerate(by_id.items())]
    found = await INSERT_MESSAGES.execute(session, rows=rows) if rows else []
    inserted = {id: recipient for id, *recipient in found}
    queued = [_queued_event(by_id[id], id, *inserted[id]) for id in by_id if id in inserted]
    held = await _trip_breakers(session, queued) if queued else []
    await events.record_events(session, [*new_events, *queued, *held])
    return [UUID(str((event.data or {})["message_id"])) for event in queued]


async def _trip_breakers(
    session: AsyncSession, queued: Sequence[events.NewEvent]
) -> list[events.NewEvent]:
    """Hold recipients of too many messages. What a person sends needs no check."""
    recipients: dict[Agent | None, set[UUID]] = {}
    for event in queued:
        if isinstance(event.subject, UUID) and not isinstance(event.actor, User):
            sender = event.actor if isinstance(event.actor, Agent) else None
            recipients.setdefault(sender, set()).add(event.subject)
    held: list[events.NewEvent] = []
    for sender, agent_ids in recipients.items():
        held += await hold_flooded_agents(session, agent_ids, sender)
    return held


def _build_insert() -> Any:
    """Insert the messages in the parameter `rows`, in their order.

    Those whose agent does not exist, or has one with the same key, are left out, and those to
    agents of a board that is being deleted. The agents and their boards cannot be deleted before
    the commit.
    """
    types = {"position": Integer(), "agent_id": Uuid(), "lead_of": Uuid(), **CONTENT_COLUMNS}
    recordset = func.jsonb_to_recordset(bindparam("rows", type_=JSONB)).table_valued(
        *(column(name, type) for name, type in types.items()), name="records"
    )
    records = recordset.render_derived(with_types=True)
    lead = select(Agent.id).where(Agent.board_id == records.c.lead_of, Agent.is_board_lead)
    recipient = func.coalesce(records.c.agent_id, lead.correlate(records).scalar_subquery())
    is_recipient = Agent.id.in_(select(recipient).select_from(records).scalar_subquery())
    boards = select(Board.id).where(Board.id.in_(select(Agent.board_id).where(is_recipient)))
    boards = boards.order_by(Board.id).with_for_update(read=True, key_share=True, skip_locked=True)
    kept = boards.cte("kept_boards")
    agents = select(Agent.id).where(
        is_recipient, or_(Agent.board_id.is_(None), Agent.board_id.in_(select(kept.c.id)))
    )
    agents = agents.order_by(*AGENT_LOCK_ORDER).with_for_update(read=True, key_share=True)
    locked = agents.cte("locked_agents")
    rows = (
        select(
            *(records.c[name] for name in CONTENT_COLUMNS),
            *AGENT_COLUMNS.values(),
            *INITIAL_VALUES.values(),
        )
        .join_from(records, Agent, Agent.id == recipient)
        .where(Agent.id.in_(select(locked.c.id)))
        .order_by(records.c.position)
    )
    statement = insert(Message).from_select(
        [*CONTENT_COLUMNS, *AGENT_COLUMNS, *INITIAL_VALUES], rows
    )
    statement = statement.on_conflict_do_nothing(index_elements=["agent_id", "key"])
    return statement.returning(Message.id, Message.agent_id, Message.organization_id)


INSERT_MESSAGES = Write(_build_insert())


def _row(id: UUID, message: OutgoingMessage) -> dict[str, Any]:
    sender, at = message.sender, now()
    return {
        "id": id,
        "agent_id": None if isinstance(message.to, BoardLeadRecipient) else _id_of(message.to),
        "lead_of": message.to.board.id if isinstance(message.to, BoardLeadRecipient) else None,
        "board_id": _id_of(message.board),
        "task_id": _id_of(message.task),
        "approval_id": _id_of(message.approval),
        "kind": message.marker,
        "content": message.content,
        "deliver": message.deliver,
        "key": message.key or str(id),
        "from_agent_id": sender.id if isinstance(sender, Agent) else None,
        "from_user_id": sender.id if isinstance(sender, User) else None,
        "delivery_events": _delivery_events(message),
        "created_at": at,
        "waiting_since": at,
    }


def _id_of(value: Agent | Board | Task | Approval | UUID | None) -> UUID | None:
    return value if value is None or isinstance(value, UUID) else value.id


def _delivery_events(message: OutgoingMessage) -> dict[str, Any] | None:
    """Return the events to record when the message is delivered or has failed."""
    if message.on_delivered is None and message.on_failed is None:
        return None
    of = {"of": message.event_subject.id} if message.event_subject else {}
    return {
        "told": message.on_delivered,
        "failed": message.on_failed,
        "data": dict(message.event_data),
    } | of


def _queued_event(
    message: OutgoingMessage, id: UUID, agent_id: UUID, organization_id: UUID
) -> events.NewEvent:
    return events.NewEvent(
        EventType.MESSAGE_QUEUED,
        message.sender,
        organization_id=organization_id,
        board=message.board,
        task=message.task,
        approval=message.approval,
        subject=agent_id,
        data={"message_id": str(id), "kind": message.marker},
    )


async def acknowledge_message(session: AsyncSession, agent: Agent, message_id: UUID) -> Message:
    """Record that an agent has received one of its messages. Repeating this changes nothing.

    The events that the sender requested for the delivery are recorded now, unless a worker has sent
    the message before. Raises NotFound.
    """
    [message] = await acknowledge_messages(session, agent, [message_id])
    return message


async def acknowledge_messages(
    session: AsyncSession, agent: Agent, message_ids: Collection[UUID]
) -> Sequence[Message]:
    """Do what `acknowledge_message` does for several messages: for all of them, or for none."""
    query = select(Message).where(Message.id.in_(message_ids), addressed_to_condition(agent))
    locked = query.order_by(Message.id).with_for_update()
    found = (await session.scalars(locked.execution_options(populate_existing=True))).all()
    if len(found) < len({*message_ids}):
        raise message_not_found()
    new_events: list[events.NewEvent] = []
    for message in found:
        if message.state is MessageState.ACKNOWLEDGED:
            continue
        was_sent = message.sent_at is not None
        message.acknowledge(now())
        new_events.append(message_event(message, EventType.MESSAGE_ACKNOWLEDGED, agent))
        new_events += [] if was_sent else requested_events(message, "told")
    await events.record_events(session, new_events)
    return found


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


async def fail_undelivered(
    session: AsyncSession, agent_condition: ColumnElement[bool]
) -> list[events.NewEvent]:
    """Mark the queued messages to agents that are being deleted as failed; return the events.

    They go with the agents, so these events are what their senders learn. The agents are locked for
    the deletion before their messages.
    """
    agents = select(Agent.id).where(agent_condition).order_by(*AGENT_LOCK_ORDER).with_for_update()
    is_queued = Message.state == MessageState.QUEUED
    queued = select(Message.id).where(
        Message.agent_id.in_(select(agents.cte("locked_agents").c.id)), is_queued
    )
    locked = queued.order_by(Message.id).with_for_update().cte("locked_messages")
    failed = (
        update(Message)
        .where(Message.id.in_(select(locked.c.id)), is_queued)
        .values(state=MessageState.FAILED, last_error="The agent was deleted before it got this.")
        .returning(Message)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    found = sorted(await session.scalars(failed), key=lambda message: message.seq)
    return [event for message in found for event in status_events(message)]


async def expire_undelivered(
    session: AsyncSession, *, max_age: timedelta = DELIVERY_TIMEOUT
) -> int:
    """Mark messages as failed that are pending for too long, and return their number.

    This includes sent messages whose turn has no known result. Messages that are held, or that a
    gateway does not get because a board is paused, wait without a limit. It handles
    EXPIRY_BATCH_SIZE messages per call, and may run in several workers at once.
    """
    is_working = Agent.held_at.is_(None) & Organization.stopped_at.is_(None)
    is_working &= Agent.gateway_id.is_(None) | not_paused_condition()
    expired = (
        select(Message, Agent.gateway_id)
        .join(Agent, Agent.id == Message.agent_id)
        .join(Organization, Organization.id == Agent.organization_id)
        .outerjoin(Board, Board.id == Agent.board_id)
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
        return f"Its delivery could not be confirmed for {max_age.days} days."
    if has_gateway:
        return f"It could not be delivered for {max_age.days} days."
    return f"The agent has not fetched it for {max_age.days} days."
