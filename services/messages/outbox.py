"""Putting messages into the outbox, in the transaction of the change that they tell of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pydantic_core
from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Integer,
    String,
    TableValuedAlias,
    Uuid,
    bindparam,
    func,
    literal,
    select,
)
from sqlalchemy import column as named
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
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


@dataclass(frozen=True)
class LeadOf:
    """Whoever leads a board at the time of writing; without a lead, nobody is written to."""

    board: Board


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A message to be: to an agent, or its id, of the organization in which something happened.

    `kind` is the marker that agents go by, and the first line of the content where none is given.
    `key` is one for each thing that is told: what is drafted again under the same key is not sent
    again; without one, every draft is a message of its own. `told` and `failed` are recorded once
    the agent really has the message, or once nobody tries any more; `data` is what they tell.
    """

    to: Agent | UUID | LeadOf
    content: str
    kind: str = ""
    key: str | None = None
    board: Board | None = None
    task: Task | UUID | None = None
    approval: Approval | None = None
    sender: Actor | None = None
    deliver: bool = False  # say it out loud on the agent's channel: a gateway's word
    told: EventType | None = None
    failed: EventType | None = None
    told_of: Agent | None = None  # whose doing that is; else it is told of whoever gets it
    data: Mapping[str, object] = field(default_factory=dict)

    @property
    def marker(self) -> str:
        """The kind of message that it is."""
        return self.kind or self.content.partition("\n")[0]


async def queue(
    session: AsyncSession, drafts: Sequence[Draft], *, happened: Sequence[events.Happened] = ()
) -> None:
    """Put messages into the outbox, and record first what `happened`, then that they wait.

    Like events.record it comes last in a transaction. It is one INSERT and one record however many
    they are. An agent that was deleted meanwhile gets none, and neither does one that has a
    message with the same key already.
    """
    await session.flush()
    waits = await _write(session, drafts) if drafts else []
    await events.record_all(session, [*happened, *waits])


async def _write(session: AsyncSession, drafts: Sequence[Draft]) -> list[events.Happened]:
    """Insert the messages of those drafts that are news to an agent, and return what to record."""
    by_id = {new_id(): draft for draft in drafts}
    rows = [{"place": place, **_row(*item)} for place, item in enumerate(by_id.items())]
    statement = insert(Message).from_select([*COLUMNS, *FOUND, *FIRST], _selected(rows))
    statement = statement.on_conflict_do_nothing(index_elements=["agent_id", "key"])
    written = statement.returning(Message.id, Message.agent_id, Message.organization_id)
    inserted = {id: rest for id, *rest in await session.execute(written)}
    return [_waits(by_id[id], id, *inserted[id]) for id in by_id if id in inserted]


COLUMNS: Mapping[str, Any] = {
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
    "told_as": JSONB(none_as_null=True),
    "created_at": DateTime(timezone=True),
    "next_try_at": DateTime(timezone=True),
}
"""What a draft decides of a message."""

FOUND: Mapping[str, Any] = {"agent_id": Agent.id, "organization_id": Agent.organization_id}
"""What is read from the agent's own row, which cannot be deleted from then to the commit."""

FIRST: Mapping[str, ColumnElement[Any]] = {
    "state": literal(MessageState.QUEUED.value),
    "attempts": literal(0),
    "run": literal(1),
    "losses": literal(0),
}
"""How every message begins."""


def _selected(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Select these rows in their order, but for those whose agent is not there."""
    drafted = _recordset(rows)
    lead = select(Agent.id).where(Agent.board_id == drafted.c.lead_of, Agent.is_board_lead)
    to = func.coalesce(drafted.c.agent_id, lead.correlate(drafted).scalar_subquery())
    wanted = [*(drafted.c[name] for name in COLUMNS), *FOUND.values(), *FIRST.values()]
    query = select(*wanted).join_from(drafted, Agent, Agent.id == to).order_by(drafted.c.place)
    return query.with_for_update(read=True, key_share=True, of=Agent)


def _recordset(rows: Sequence[Mapping[str, Any]]) -> TableValuedAlias:
    types = {"place": Integer(), "agent_id": Uuid(), "lead_of": Uuid(), **COLUMNS}
    whole = bindparam("rows", pydantic_core.to_jsonable_python(rows), type_=JSONB)
    columns = [named(name, type) for name, type in types.items()]
    recordset = func.jsonb_to_recordset(whole).table_valued(*columns, name="drafted")
    return recordset.render_derived(with_types=True)


def _row(id: UUID, draft: Draft) -> dict[str, Any]:
    sender, at = draft.sender, now()
    return {
        "id": id,
        "agent_id": None if isinstance(draft.to, LeadOf) else _id(draft.to),
        "lead_of": draft.to.board.id if isinstance(draft.to, LeadOf) else None,
        "board_id": _id(draft.board),
        "task_id": _id(draft.task),
        "approval_id": _id(draft.approval),
        "kind": draft.marker,
        "content": draft.content,
        "deliver": draft.deliver,
        "key": draft.key or str(id),
        "from_agent_id": sender.id if isinstance(sender, Agent) else None,
        "from_user_id": sender.id if isinstance(sender, User) else None,
        "told_as": _told_as(draft),
        "created_at": at,
        "next_try_at": at,
    }


def _id(one: Agent | Board | Task | Approval | UUID | None) -> UUID | None:
    return one if one is None or isinstance(one, UUID) else one.id


def _told_as(draft: Draft) -> dict[str, Any] | None:
    """Return what is to be recorded later, when it is known what has become of the message."""
    if draft.told is None and draft.failed is None:
        return None
    of = {"of": draft.told_of.id} if draft.told_of else {}
    return {"told": draft.told, "failed": draft.failed, "data": dict(draft.data)} | of


def _waits(draft: Draft, id: UUID, agent_id: UUID, organization_id: UUID) -> events.Happened:
    return events.Happened(
        EventType.MESSAGE_QUEUED,
        draft.sender,
        organization_id=organization_id,
        board=draft.board,
        task=draft.task,
        approval=draft.approval,
        about=agent_id,
        data={"message_id": str(id), "kind": draft.marker},
    )
