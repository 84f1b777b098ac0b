"""Read the audit: pages with filters, and complete chains for exports."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.canonical_json import format_canonical_json
from core.clock import now, to_utc
from core.db.engine import TransactionFactory
from core.errors import NotFound
from core.paging import Page, Paging, fetch_page
from core.text import replace_unstorable
from models import AuditRecord, Organization
from services.audit.chain import EXPORT_FORMAT, GENESIS_HASH
from services.audit.records import AuditAction, AuditObject, NewAuditRecord, record_audit

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


async def list_audit_records(
    session: AsyncSession, organization_id: UUID | None, filters: AuditFilters, paging: Paging
) -> Page[AuditRecord]:
    """Return the records of a chain, newest first. None: the chain of the installation."""
    return await fetch_page(session, _filtered_query(organization_id, filters), paging)


async def list_latest_records(
    session: AsyncSession, organization_id: UUID | None, filters: AuditFilters, limit: int
) -> Sequence[AuditRecord]:
    """Return the newest records of a chain without counting the others."""
    query = _filtered_query(organization_id, filters).limit(limit)
    return (await session.scalars(query)).all()


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
    query = (
        select(AuditRecord.organization_id, Organization.name, heads.c.sequence, AuditRecord.hash)
        .join(heads, is_head & (AuditRecord.sequence == heads.c.sequence))
        .outerjoin(Organization, Organization.id == AuditRecord.organization_id)
        .order_by(AuditRecord.organization_id.nulls_first())
    )
    return [AuditChain(*row) for row in await session.execute(query)]


async def prepare_export(
    session: AsyncSession, organization_id: UUID | None, after: int
) -> dict[str, Any]:
    """Record that the chain is exported, and return the first line of the export.

    Raises NotFound if the chain has no record number `after`.
    """
    previous = GENESIS_HASH
    if after:
        query = select(AuditRecord.hash).where(
            _is_in_chain(organization_id), AuditRecord.sequence == after
        )
        found = await session.scalar(query)
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
    transaction: TransactionFactory, organization_id: UUID | None, header: dict[str, Any]
) -> AsyncGenerator[bytes]:
    """Yield the lines of an export: the header, each record, and a line that closes it.

    Records are read in batches, each in a transaction of its own. The chain is only appended to, so
    the batches fit together.
    """
    yield _line(header)
    first = last = header["after"]
    head, size = header["previous_hash"], EXPORT_BATCH_SIZE
    while size == EXPORT_BATCH_SIZE:
        async with transaction() as session:
            batch = await _list_records_after(session, organization_id, last)
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


async def _list_records_after(
    session: AsyncSession, organization_id: UUID | None, sequence: int
) -> Sequence[AuditRecord]:
    query = select(AuditRecord).where(
        _is_in_chain(organization_id), AuditRecord.sequence > sequence
    )
    found = await session.scalars(query.order_by(AuditRecord.sequence).limit(EXPORT_BATCH_SIZE))
    return found.all()


def _filtered_query(organization_id: UUID | None, filters: AuditFilters) -> Select[AuditRecord]:
    query = select(AuditRecord).where(_is_in_chain(organization_id))
    for name, build_condition in CONDITIONS.items():
        if given := getattr(filters, name):
            query = query.where(build_condition(given))
    return query.order_by(AuditRecord.sequence.desc())


def _has_action(action: str) -> ColumnElement[bool]:
    action = replace_unstorable(action)
    if "." in action:
        return AuditRecord.action == action
    return AuditRecord.action.startswith(f"{action}.", autoescape=True)


def _has_target(target: str) -> ColumnElement[bool]:
    target = replace_unstorable(target)
    is_name = AuditRecord.object_name.icontains(target, autoescape=True)
    return (AuditRecord.object_id == target) | is_name


CONDITIONS: Mapping[str, Callable[..., ColumnElement[bool]]] = {
    "actor_id": lambda actor_id: AuditRecord.actor_id == actor_id,
    "action": _has_action,
    "target": _has_target,
    "since": lambda time: AuditRecord.at >= to_utc(time),
    "until": lambda time: AuditRecord.at < to_utc(time),
    "before": lambda sequence: AuditRecord.sequence < sequence,
}
"""The condition of each filter."""


def _is_in_chain(organization_id: UUID | None) -> ColumnElement[bool]:
    return AuditRecord.organization_id == organization_id


def _format_time(time: datetime) -> str:
    return to_utc(time).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _line(value: dict[str, Any]) -> bytes:
    return f"{format_canonical_json(value)}\n".encode()
