"""Read events, and the names that they keep of what was deleted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    String,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from core.db.reads import Query, Source
from models import EndpointState, Event, EventRetention, EventType, WebhookEndpoint

BATCH_SIZE = 200  # maximum number of events of one read
MAX_SEQ = 2**63 - 1


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


class StoredEvents(NamedTuple):
    """Which events of an organization are stored: after `deleted_seq` all of them."""

    last_seq: int  # the number of the last event; 0 if there is none
    deleted_seq: int  # the number of the last event that was deleted because of its age, or 0
    deleted_at: datetime | None  # the time of that event

    def has_all_after(self, seq: int) -> bool:
        """Return whether all events that followed event `seq` are stored, and it has existed."""
        return self.deleted_seq <= seq <= self.last_seq


STORED_EVENTS: Query[StoredEvents] = Query(
    select(
        func.coalesce(LAST_SEQ.statement.scalar_subquery(), 0),
        func.coalesce(EventRetention.deleted_seq, 0),
        EventRetention.deleted_at,
    )
    .select_from(select(literal(1)).subquery("always"))
    .outerjoin(EventRetention, EventRetention.organization_id == bindparam("organization_id")),
    StoredEvents._make,
)


async def get_stored_events(source: Source, organization_id: UUID) -> StoredEvents:
    """Return which events of an organization are stored."""
    [found] = await STORED_EVENTS.fetch(source, organization_id=organization_id)
    return found


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


def select_deleted_agent_name(agent_id: Any) -> ScalarSelect[str]:
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


def is_unsent(organization_id: Any) -> ColumnElement[bool]:
    """Match the events of an organization that one of its outgoing webhooks has still to send."""
    sent = select(func.min(WebhookEndpoint.last_seq)).where(
        WebhookEndpoint.organization_id == organization_id,
        WebhookEndpoint.state == EndpointState.ENABLED,
    )
    return Event.seq > func.coalesce(sent.scalar_subquery(), cast(MAX_SEQ, BigInteger))
