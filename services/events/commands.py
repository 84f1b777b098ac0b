"""Record events, and read the latest ones."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any, Never
from uuid import UUID

from sqlalchemy import (
    ScalarSelect,
    String,
    bindparam,
    func,
    literal_column,
    select,
    text,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from core.db.listen import CHANNEL
from core.db.reads import Query, Source
from core.db.transactions import Write, send_pending_changes
from models import Actor, Agent, Approval, Board, Event, EventType, Task, User, new_id
from services import audit
from services.audit import NewAuditRecord
from services.hooks import Hook

_INSERT_EVENTS = Write(
    text(f"""
    with locks as materialized (
        select pg_advisory_xact_lock(hashtextextended(chain, 0))
        from unnest(cast(:chains as text[])) as chain
    ),
    notified as materialized (
        select pg_notify(:channel, id) from unnest(cast(:organizations as text[])) as id
    ),
    audited as ({audit.INSERT_RECORDS}),
    origins as ({audit.INSERT_ORIGINS})
    insert into activity_events (
        id, type, organization_id, board_id, task_id, approval_id, agent_id, user_id, data,
        created_at
    )
    select
        id, type, organization_id, board_id, task_id, approval_id, agent_id, user_id, data,
        clock_timestamp()
    from jsonb_populate_recordset(null::activity_events, :rows) with ordinality
    where (select count(*) from locks) > 0 and (select count(*) from notified) > 0
    order by ordinality
    returning seq, created_at
""").bindparams(  # noqa: S608 - the inserted text is a constant
        bindparam("rows", type_=JSONB),
        bindparam("audit_records", type_=JSONB),
        bindparam("origins", type_=JSONB),
    )
)
"""Locks the chains of the audit before the numbers (seq) are assigned.

The order is the installation, then each organization by id. The trigger of the audit takes the same
locks in the same order.
"""


@dataclass(frozen=True)
class NewEvent:
    """An event to record. Related objects can be given as objects or ids.

    `before` and `after` are values for the audit that the event itself does not store.
    """

    type: EventType
    actor: Actor | None
    _: KW_ONLY
    organization_id: UUID
    board: Board | UUID | None = None
    task: Task | UUID | None = None
    approval: Approval | UUID | None = None
    subject: Agent | UUID | None = None  # the affected agent; by default the acting agent
    id: UUID | None = None
    data: Mapping[str, object] | None = None
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None

    def to_row(self) -> dict[str, Any]:
        """Return the columns of the event except `seq` and `created_at`."""
        agent = self.subject or (self.actor if isinstance(self.actor, Agent) else None)
        return {
            "id": self.id or new_id(),
            "type": self.type,
            "organization_id": self.organization_id,
            "board_id": _id(self.board),
            "task_id": _id(self.task),
            "approval_id": _id(self.approval),
            "agent_id": _id(agent),
            "user_id": self.actor.id if isinstance(self.actor, User) else None,
            "data": dict(self.data or {}),
        }


EVENTS_RECORDED: Hook[Sequence[NewEvent], Never] = Hook("EVENTS_RECORDED")
"""Events and their audit records were inserted. Other transactions wait until the commit."""


async def record_event(
    session: AsyncSession,
    type: EventType,
    actor: Actor | None,
    *,
    organization_id: UUID,
    board: Board | None = None,
    task: Task | None = None,
    approval: Approval | None = None,
    subject: Agent | None = None,
    id: UUID | None = None,
    data: dict[str, object] | None = None,
    audit_records: Sequence[NewAuditRecord] = (),
) -> Event:
    """Record an event, and notify the organization's subscribers when the transaction commits.

    `subject` is the affected agent if it is not the actor. Call this last in a transaction: until
    the commit no other transaction can record events of the organization. So numbers appear in
    order of the commits: a subscriber that has read number 7 never finds a new number 6.
    """
    event = NewEvent(
        type,
        actor,
        organization_id=organization_id,
        board=board,
        task=task,
        approval=approval,
        subject=subject,
        id=id,
        data=data,
    )
    await send_pending_changes(session)
    row = event.to_row()
    [(seq, created_at)] = await _insert_events(session, [event], [row], audit_records)
    return Event(**row, seq=seq, created_at=created_at)


async def record_events(
    session: AsyncSession,
    new_events: Sequence[NewEvent],
    audit_records: Sequence[NewAuditRecord] = (),
) -> list[int]:
    """Record several events, in this order, in one statement, and return their numbers.

    See `record_event`. The statement also adds the audit records that are derived from them, and
    `audit_records` of the same command.
    """
    await send_pending_changes(session)  # which sets the ids of new objects
    rows = [event.to_row() for event in new_events]
    inserted = await _insert_events(session, new_events, rows, audit_records)
    return [seq for seq, _ in inserted]


async def _insert_events(
    session: AsyncSession,
    new_events: Sequence[NewEvent],
    rows: Sequence[Mapping[str, Any]],
    audit_records: Sequence[NewAuditRecord],
) -> Sequence[tuple[int, datetime]]:
    """Insert the rows of events and their notifications; return the numbers and times."""
    if not new_events and not audit_records:
        return []
    organizations = sorted({str(event.organization_id) for event in new_events})
    records = [*audit_records, *audit.derive_records(new_events, rows)]
    inserted = await _INSERT_EVENTS.execute(
        session,
        channel=CHANNEL,
        organizations=organizations,
        chains=_list_chains(organizations, records),
        rows=rows,
        audit_records=audit.build_insert_rows(records),
        origins=audit.derive_origins(new_events, rows),
    )
    await EVENTS_RECORDED.run(session, new_events)
    return inserted


def _list_chains(organizations: Sequence[str], records: Sequence[NewAuditRecord]) -> list[str]:
    """Return the names of the chains to lock, in the order of their locks."""
    chains = {record.organization_id for record in records}
    ids = {str(id) for id in chains if id is not None}
    return [*(["installation"] if None in chains else []), *sorted(ids.union(organizations))]


def _id(value: Agent | Approval | Board | Task | UUID | None) -> UUID | None:
    return value if value is None or isinstance(value, UUID) else value.id


BATCH_SIZE = 200  # maximum number of events of one read


LAST_SEQ: Query[tuple[int]] = Query(
    select(Event.seq)
    .where(Event.organization_id == bindparam("organization_id"))
    .order_by(Event.seq.desc())
    .limit(1)
)


async def get_last_seq(source: Source, organization_id: UUID) -> int:
    """Return the number of the organization's last event; 0 if there is none."""
    found = await LAST_SEQ.first(source, organization_id=organization_id)
    return found[0] if found else 0


async def get_last_seq_before(session: AsyncSession, organization_id: UUID, time: datetime) -> int:
    """Return the number of the organization's last event before a time; 0 if there is none."""
    earlier = select(Event.seq).where(
        Event.organization_id == organization_id, Event.created_at < time
    )
    return await session.scalar(earlier.order_by(Event.seq.desc()).limit(1)) or 0


async def list_events_after(
    session: AsyncSession, organization_id: UUID, seq: int
) -> Sequence[Event]:
    """Return the organization's first events after number `seq`, at most BATCH_SIZE."""
    later = select(Event).where(Event.organization_id == organization_id, Event.seq > seq)
    return (await session.scalars(later.order_by(Event.seq).limit(BATCH_SIZE))).all()


def select_deleted_agent_name(agent_id: InstrumentedAttribute[UUID | None]) -> ScalarSelect[str]:
    """Select the name of an agent when it was deleted or unlinked; null if it never was."""
    deleted = aliased(Event)
    query = select(deleted.data["name"].astext)
    # As in the condition of the index of the deletions by agent. With `type = …` PostgreSQL may
    # choose an index of the types, and read the deletions of all agents for each row of a list.
    type = type_coerce(deleted.type, String).op("||", return_type=String())(literal_column("''"))
    is_deletion = type == literal_column(f"'{EventType.AGENT_DELETED}'")
    query = query.where(deleted.agent_id == agent_id, is_deletion)
    return query.order_by(deleted.seq.desc()).limit(1).scalar_subquery()


def select_deleted_author_name(comment_id: InstrumentedAttribute[UUID]) -> ScalarSelect[str]:
    """Select the name of the deleted agent, or of the webhook, that wrote a comment."""
    event = aliased(Event)
    name = func.coalesce(event.data["webhook"].astext, select_deleted_agent_name(event.agent_id))
    query = select(name).where(event.id == comment_id)
    return query.scalar_subquery()
