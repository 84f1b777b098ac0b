"""Add messages to the outbox, in the transaction of the change that they are about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Integer,
    String,
    TableValuedAlias,
    Uuid,
    bindparam,
    column,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.transactions import Write, send_pending_changes
from models import (
    Actor,
    Agent,
    Approval,
    Board,
    EventType,
    Message,
    MessageState,
    Task,
    User,
    new_id,
)
from services import events
from services.messages.circuit_breakers import hold_flooded_agents

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

    Call it last in a transaction, like `events.record_events`. It uses a single INSERT. Messages to
    deleted agents, and those whose key the recipient already has, are omitted. An agent that
    receives too many is held. Returns the ids of the messages that were added.
    """
    await send_pending_changes(session)
    queued = await _insert_messages(session, outgoing) if outgoing else []
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


async def _insert_messages(
    session: AsyncSession, outgoing: Sequence[OutgoingMessage]
) -> list[events.NewEvent]:
    """Insert messages, and return an event for each that was inserted."""
    by_id = {new_id(): message for message in outgoing}
    rows = [{"position": position, **_row(*item)} for position, item in enumerate(by_id.items())]
    inserted = {id: rest for id, *rest in await INSERT_MESSAGES.execute(session, rows=rows)}
    return [_queued_event(by_id[id], id, *inserted[id]) for id in by_id if id in inserted]


def _build_insert() -> Any:
    """Insert the messages in the parameter `rows` that the recipient does not have yet."""
    statement = insert(Message).from_select(
        [*CONTENT_COLUMNS, *AGENT_COLUMNS, *INITIAL_VALUES], _rows_query()
    )
    statement = statement.on_conflict_do_nothing(index_elements=["agent_id", "key"])
    return statement.returning(Message.id, Message.agent_id, Message.organization_id)


def _rows_query() -> Any:
    """Select rows in their order, without those whose agent does not exist.

    It locks the agents, so that they cannot be deleted before the commit.
    """
    records = _recordset()
    lead = select(Agent.id).where(Agent.board_id == records.c.lead_of, Agent.is_board_lead)
    recipient = func.coalesce(records.c.agent_id, lead.correlate(records).scalar_subquery())
    columns = [
        *(records.c[name] for name in CONTENT_COLUMNS),
        *AGENT_COLUMNS.values(),
        *INITIAL_VALUES.values(),
    ]
    query = select(*columns).join_from(records, Agent, Agent.id == recipient)
    query = query.order_by(records.c.position)
    return query.with_for_update(read=True, key_share=True, of=Agent)


def _recordset() -> TableValuedAlias:
    types = {"position": Integer(), "agent_id": Uuid(), "lead_of": Uuid(), **CONTENT_COLUMNS}
    columns = [column(name, type) for name, type in types.items()]
    parameter = bindparam("rows", type_=JSONB)
    recordset = func.jsonb_to_recordset(parameter).table_valued(*columns, name="records")
    return recordset.render_derived(with_types=True)


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
