"""Read the audit: pages with filters, and complete chains for exports; and who may."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Select, String, bindparam, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.canonical_json import format_canonical_json
from core.clock import now, to_utc
from core.db.reads import Query, ReadFactory, Source
from core.errors import Forbidden, NotFound
from core.paging import PAGE_LIMIT, Page, PagedQuery, Paging, build_page
from core.text import N_, escape_pattern, replace_unstorable
from models import (
    AuditAnchor,
    AuditRecord,
    Event,
    EventOrigin,
    Member,
    Organization,
    OrganizationCounts,
    Role,
)
from services.audit.anchors import belongs_to, find_anchor
from services.audit.chain import EXPORT_FORMAT, GENESIS_HASH
from services.audit.records import AuditAction, AuditObject, NewAuditRecord, record_audit

MAX_QUERIES = 64  # built queries, by the filters
EXPORT_BATCH_SIZE = 500  # records in one read
COLUMN_NAMES = [column.key for column in AuditRecord.__table__.columns]


@dataclass(frozen=True)
class AuditFilters:
    """Which records to list. `action` is an action, or the part before its dot."""

    actor_id: UUID | None = None
    action: str = ""
    target: str = ""  # the id of an object, or a part of its name
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None  # only records with smaller numbers


async def find_first_organization_id(source: Source) -> UUID | None:
    """Return the oldest organization, whose owners operate the installation."""
    found = await FIRST_ORGANIZATION_ID.first(source)
    return found[0] if found else None


FIRST_ORGANIZATION_ID: Query[tuple[UUID]] = Query(
    select(Organization.id)
    .where(Organization.is_demo.is_(False))
    .order_by(Organization.created_at, Organization.id)
    .limit(1)
)


async def may_read_installation(source: Source, member: Member) -> bool:
    """Return whether a member may read the audit of the installation."""
    is_owner = member.role is Role.OWNER
    return is_owner and member.organization_id == await find_first_organization_id(source)


async def require_installation_reader(source: Source, member: Member) -> None:
    """Raise Forbidden unless the member is an owner of the first organization."""
    if not await may_read_installation(source, member):
        reason = N_(
            "Only an owner of the first organization can read the audit of the installation."
        )
        raise Forbidden("installation_owner_required", reason)


async def list_audit_records(
    source: Source, organization_id: UUID | None, filters: AuditFilters, paging: Paging
) -> Page[AuditRecord]:
    """Return the records of a chain, newest first. None: the chain of the installation."""
    conditions, parameters = _choose_conditions(organization_id, filters)
    return await _build_page_query(conditions).fetch_page(source, paging, **parameters)


async def list_latest_records(
    source: Source, organization_id: UUID | None, filters: AuditFilters, limit: int
) -> Sequence[AuditRecord]:
    """Return the newest records of a chain without counting the others."""
    conditions, parameters = _choose_conditions(organization_id, filters)
    return await _build_latest_query(conditions).fetch(source, page_limit=limit, **parameters)


@lru_cache(MAX_QUERIES)
def _build_page_query(conditions: frozenset[str]) -> PagedQuery[AuditRecord]:
    total = None
    if len(conditions) == 1:  # of a complete chain, whose records are numbered without gaps
        newest = select(func.coalesce(func.max(AuditRecord.sequence), 0))
        newest = newest.where(*(CONDITIONS[name] for name in conditions))
        dropped = select(func.coalesce(func.max(AuditAnchor.sequence), 0))
        dropped = dropped.where(*(ANCHOR_CONDITIONS[name] for name in conditions))
        total = newest.scalar_subquery() - dropped.scalar_subquery()
    return PagedQuery(_filtered_query(conditions), lambda row: row[0], total)


@lru_cache(MAX_QUERIES)
def _build_latest_query(conditions: frozenset[str]) -> Query[AuditRecord]:
    return Query(_filtered_query(conditions).limit(PAGE_LIMIT), lambda row: row[0])


@dataclass(frozen=True)
class AuditChain:
    """A chain with its newest record. `name` is None for the installation and after a deletion."""

    organization_id: UUID | None
    name: str | None
    count: int
    head: str


async def list_chains(session: AsyncSession) -> Sequence[AuditChain]:
    """Return all chains: the one of the installation first, then those of organizations."""
    newest = select(AuditRecord.organization_id, func.max(AuditRecord.sequence).label("sequence"))
    heads = newest.group_by(AuditRecord.organization_id).subquery()
    is_head = AuditRecord.organization_id.is_not_distinct_from(heads.c.organization_id)
    dropped = select(func.coalesce(func.max(AuditAnchor.sequence), 0)).where(
        AuditAnchor.organization_id.is_not_distinct_from(AuditRecord.organization_id)
    )
    count = heads.c.sequence - dropped.scalar_subquery()
    query = (
        select(AuditRecord.organization_id, Organization.name, count, AuditRecord.hash)
        .join(heads, is_head & (AuditRecord.sequence == heads.c.sequence))
        .outerjoin(Organization, Organization.id == AuditRecord.organization_id)
        .order_by(AuditRecord.organization_id.nulls_first())
    )
    return [AuditChain(*row) for row in await session.execute(query)]


async def prepare_export(
    session: AsyncSession, organization_id: UUID | None, after: int
) -> dict[str, Any]:
    """Record that the chain is exported, and return the first line of the export.

    An export of a complete chain begins after its anchor, if records were dropped. Raises NotFound
    if the chain has no record number `after`.
    """
    previous = GENESIS_HASH
    anchor = await find_anchor(session, organization_id)
    if anchor is not None and after in (0, anchor.sequence):
        after, previous = anchor.sequence, anchor.hash
    elif after:
        query = select(AuditRecord.hash).where(
            belongs_to(AuditRecord, organization_id), AuditRecord.sequence == after
        )
        found = await session.scalar(query)
        if found is None and anchor is not None and after < anchor.sequence:
            reason = f"The records up to {anchor.sequence} were dropped after an export."
            raise NotFound("audit_record_not_found", reason)
        if found is None:
            raise NotFound("audit_record_not_found", f"The audit has no record {after}.")
        previous = found
    exported = NewAuditRecord(
        AuditAction.AUDIT_EXPORTED,
        AuditObject("audit", organization_id),
        organization_id=organization_id,
        after={"after_record": after},
    )
    await record_audit(session, [exported])
    return {
        "format": EXPORT_FORMAT,
        "organization_id": str(organization_id) if organization_id else None,
        "after": after,
        "previous_hash": previous,
        "exported_at": _format_time(now()),
    }


async def stream_export(
    open_read: ReadFactory,
    organization_id: UUID | None,
    header: dict[str, Any],
    until: int = 2**63 - 1,
) -> AsyncGenerator[bytes]:
    """Yield the lines of an export: the header, the records up to `until`, and a closing line.

    Records are read in batches, each by a statement of its own. The chain is only appended to, so
    the batches fit together. If records are dropped meanwhile, the verification finds it.
    """
    yield _line(header)
    first = last = header["after"]
    head, size = header["previous_hash"], EXPORT_BATCH_SIZE
    while size == EXPORT_BATCH_SIZE:
        query = _build_batch_query(of_installation=organization_id is None)
        async with open_read() as source:
            place = {"organization_id": organization_id, "after": last, "until": until}
            batch = await query.fetch(source, **place)
        lines, size = b"".join(_line(to_export(record)) for record in batch), len(batch)
        if batch:
            last, head = batch[-1].sequence, batch[-1].hash
        yield lines
    yield _line({"end": True, "count": last - first, "head": head})


def to_export(record: AuditRecord) -> dict[str, Any]:
    """Return a record as it is exported and hashed."""
    values = {name: getattr(record, name) for name in COLUMN_NAMES}
    texts = {name: str(value) for name, value in values.items() if isinstance(value, UUID)}
    return {**values, **texts, "at": _format_time(record.at)}


@cache
def _build_batch_query(*, of_installation: bool) -> Query[AuditRecord]:
    query = select(AuditRecord).where(
        CONDITIONS["installation" if of_installation else "organization"],
        AuditRecord.sequence > bindparam("after"),
        AuditRecord.sequence <= bindparam("until"),
    )
    return Query(query.order_by(AuditRecord.sequence).limit(EXPORT_BATCH_SIZE), itemgetter(0))


def _choose_conditions(
    organization_id: UUID | None, filters: AuditFilters
) -> tuple[frozenset[str], dict[str, Any]]:
    """Return the names of the conditions for these filters, and the parameters of all."""
    target = replace_unstorable(filters.target)
    action = replace_unstorable(filters.action)
    parameters = {
        "organization_id": organization_id,
        "actor_id": filters.actor_id,
        "action": action if "." in action else f"{escape_pattern(action)}.%",
        "target": target,
        "target_pattern": f"%{escape_pattern(target)}%",
        "since": to_utc(filters.since) if filters.since else None,
        "until": to_utc(filters.until) if filters.until else None,
        "before": filters.before,
    }
    names = {name for name in CONDITIONS if getattr(filters, name, None)}
    if action and "." not in action:
        names = names - {"action"} | {"action_group"}
    return frozenset(
        names | ({"organization"} if organization_id else {"installation"})
    ), parameters


def _filtered_query(conditions: frozenset[str]) -> Select[AuditRecord]:
    query = select(AuditRecord).where(*(CONDITIONS[name] for name in sorted(conditions)))
    return query.order_by(AuditRecord.sequence.desc())


CONDITIONS: Mapping[str, ColumnElement[bool]] = {
    "organization": AuditRecord.organization_id == bindparam("organization_id"),
    "installation": AuditRecord.organization_id.is_(None),
    "actor_id": AuditRecord.actor_id == bindparam("actor_id"),
    "action": AuditRecord.action == bindparam("action"),
    "action_group": AuditRecord.action.like(bindparam("action"), escape="/"),
    "target": (AuditRecord.object_id == bindparam("target"))
    | func.lower(AuditRecord.object_name).like(
        func.lower(bindparam("target_pattern", type_=String)), escape="/"
    ),
    "since": AuditRecord.at >= bindparam("since"),
    "until": AuditRecord.at < bindparam("until"),
    "before": AuditRecord.sequence < bindparam("before"),
}
"""The conditions of a chain and of each filter."""

ANCHOR_CONDITIONS: Mapping[str, ColumnElement[bool]] = {
    "organization": AuditAnchor.organization_id == bindparam("organization_id"),
    "installation": AuditAnchor.organization_id.is_(None),
}
"""The same for the anchors of a chain."""


def _format_time(time: datetime) -> str:
    return to_utc(time).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _line(value: dict[str, Any]) -> bytes:
    return f"{format_canonical_json(value)}\n".encode()


@dataclass(frozen=True)
class CommunicationRecord:
    """An event that is not in the chain: a comment, a message or a chat, with its origin."""

    event: Event
    origin: EventOrigin


COMMUNICATION = (
    select(Event, EventOrigin)
    .join(EventOrigin, EventOrigin.id == Event.id)
    .where(Event.organization_id == bindparam("organization_id"))
)
COMMUNICATION_COUNT = select(
    cast(func.coalesce(func.sum(OrganizationCounts.communication), 0), BigInteger)
).where(OrganizationCounts.organization_id == bindparam("organization_id"))
COMMUNICATION_PAGE: PagedQuery[CommunicationRecord] = PagedQuery(
    COMMUNICATION.where(Event.seq > bindparam("after")).order_by(Event.seq),
    lambda row: CommunicationRecord(*row),
    COMMUNICATION_COUNT.scalar_subquery(),
    is_planned_once=False,  # without a known limit, PostgreSQL starts workers for a sorted merge
)
EARLIER_COMMUNICATION = (
    COMMUNICATION.where(Event.seq < bindparam("before"))
    .order_by(Event.seq.desc())
    .limit(PAGE_LIMIT)
)
LATEST_COMMUNICATION: Query[CommunicationRecord] = Query(
    EARLIER_COMMUNICATION, lambda row: CommunicationRecord(*row)
)
COMMUNICATION_OF_ACTOR: Query[CommunicationRecord] = Query(
    EARLIER_COMMUNICATION.where(EventOrigin.actor_id == bindparam("actor_id")),
    lambda row: CommunicationRecord(*row),
)


async def list_communication(
    source: Source, organization_id: UUID, after: int, paging: Paging
) -> Page[CommunicationRecord]:
    """Return the comments, messages and chat after an event's number, oldest first.

    The total is that of all, without regard to the number.
    The cursor of the next page is the number of the last event.
    """
    page = await COMMUNICATION_PAGE.fetch_page(
        source, paging, organization_id=organization_id, after=after
    )
    return build_page(
        page.items, page.total, paging, str(page.items[-1].event.seq) if page.items else None
    )


async def list_latest_communication(
    source: Source, organization_id: UUID, actor_id: UUID | None, before: int, limit: int
) -> Sequence[CommunicationRecord]:
    """Return the newest ones of an actor, or of all, before an event's number; 0: the newest."""
    parameters = {"organization_id": organization_id, "before": before or 2**63 - 1}
    if actor_id is None:
        return await LATEST_COMMUNICATION.fetch(source, page_limit=limit, **parameters)
    return await COMMUNICATION_OF_ACTOR.fetch(
        source, page_limit=limit, actor_id=actor_id, **parameters
    )


class LastChange(NamedTuple):
    """Who changed a value last, and when."""

    at: datetime
    actor_name: str | None
    actor_id: UUID | None


async def find_last_change(
    source: Source, organization_id: UUID | None, object_id: UUID | None, field: str
) -> LastChange | None:
    """Return who changed a field of an object last, or None if that was not recorded."""
    return await LAST_CHANGE.first(
        source, organization_id=organization_id, object_id=str(object_id), field=field
    )


LAST_CHANGE = Query(
    select(AuditRecord.at, AuditRecord.actor_name, AuditRecord.actor_id)
    .where(
        AuditRecord.organization_id == bindparam("organization_id"),
        AuditRecord.object_id == bindparam("object_id"),
        func.jsonb_exists(AuditRecord.after, bindparam("field", type_=String)),
    )
    .order_by(AuditRecord.sequence.desc())
    .limit(1),
    LastChange._make,
)
