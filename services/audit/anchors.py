"""Drop the first records of a chain behind an anchor: the hash of the last of them.

The database deletes no record without an anchor, see docs/audit.md. Whoever calls this has verified
an export with these records.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Invalid, NotFound
from models import AuditAnchor, AuditRecord
from services.audit.records import AuditAction, AuditObject, NewAuditRecord, record_audit

MIN_AGE = timedelta(days=30)  # of dropped records; the database requires it too


def belongs_to(
    model: type[AuditRecord | AuditAnchor], organization_id: UUID | None
) -> ColumnElement[bool]:
    """Match the rows of a chain."""
    if organization_id is None:
        return model.organization_id.is_(None)
    return model.organization_id == organization_id


async def find_anchor(session: AsyncSession, organization_id: UUID | None) -> AuditAnchor | None:
    """Return the last anchor of a chain, after which its records begin."""
    anchors = select(AuditAnchor).where(belongs_to(AuditAnchor, organization_id))
    return await session.scalar(anchors.order_by(AuditAnchor.sequence.desc()).limit(1))


@dataclass(frozen=True)
class DroppableRecords:
    """The first records of a chain: those after record `after` up to record `last`."""

    organization_id: UUID | None
    after: int
    previous_hash: str
    last: int
    hash: str  # of the last one


async def find_droppable_records(
    session: AsyncSession, organization_id: UUID | None, before: datetime
) -> DroppableRecords:
    """Return the records of a chain that are older than a time.

    Raises Invalid if the time is less than 30 days ago, and NotFound without such records.
    """
    if before > now() - MIN_AGE:
        reason = f"Records of the audit are kept for at least {MIN_AGE.days} days."
        raise Invalid("audit_too_recent", reason, field="before")
    of_chain = belongs_to(AuditRecord, organization_id)
    columns = (AuditRecord.sequence, AuditRecord.hash, AuditRecord.previous_hash, AuditRecord.at)
    records = select(*columns).where(of_chain)
    first = (await session.execute(records.order_by(AuditRecord.sequence).limit(1))).one_or_none()
    if first is None or first.at >= before:
        raise NotFound("audit_record_not_found", "The audit has no records from before that day.")
    # The times of a chain increase with the numbers, except if a clock was set back.
    recent = select(func.min(AuditRecord.sequence)).where(of_chain, AuditRecord.at >= before)
    last = records.where(AuditRecord.sequence < func.coalesce(recent.scalar_subquery(), 2**62))
    [row] = await session.execute(last.order_by(AuditRecord.sequence.desc()).limit(1))
    return DroppableRecords(
        organization_id, first.sequence - 1, first.previous_hash, row.sequence, row.hash
    )


async def drop_records(session: AsyncSession, records: DroppableRecords) -> int:
    """Delete these records, store the anchor, and record both; return the number of records.

    The caller has verified an export of them. Raises Conflict if others have dropped some of them.
    """
    chain = records.organization_id
    anchor = await find_anchor(session, chain)
    if anchor is not None and anchor.sequence > records.after:
        raise Conflict("audit_already_dropped", "Some of these records have been dropped already.")
    dropped = func.drop_audit_records(chain, records.last, records.hash)
    count: int = await session.scalar(select(dropped)) or 0
    record = NewAuditRecord(
        AuditAction.RECORDS_DROPPED,
        AuditObject("audit", chain),
        organization_id=chain,
        before={"records": count, "last": records.last, "head": records.hash},
    )
    await record_audit(session, [record])
    return count
