"""Record deleted organizations, and delete their audit after the configured time."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Uuid, cast, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.clock import now
from models import AuditRecord
from services.audit.records import AuditAction, AuditObject, NewAuditRecord, record_audit

MAX_CHAINS = 20  # that are deleted in one transaction


def build_deletion_records(names: Mapping[UUID, str]) -> list[NewAuditRecord]:
    """Return records of deleted organizations, for their own audit and for the installation."""
    return [
        NewAuditRecord(
            AuditAction.ORGANIZATION_DELETED,
            AuditObject("organization", id, name),
            organization_id=chain,
        )
        for id, name in names.items()
        for chain in (None, id)
    ]


async def delete_expired_chains(session: AsyncSession, *, keep_days: int) -> int:
    """Delete the audit of organizations that were deleted `keep_days` ago; return their number.

    The database only allows whole chains of organizations that do not exist, see docs/audit.md.
    """
    records = []
    for chain in await _list_ended_chains(session, now() - timedelta(days=keep_days)):
        head = await _get_head(session, chain)
        count = await session.scalar(select(func.delete_audit_chain(chain, keep_days)))
        if count:
            record = NewAuditRecord(
                AuditAction.CHAIN_DELETED,
                AuditObject("organization", chain),
                organization_id=None,
                before={"records": count, "head": head},
            )
            records.append(record)
    await record_audit(session, records)
    return len(records)


async def _list_ended_chains(session: AsyncSession, before: datetime) -> list[UUID]:
    """Return organizations that were deleted before a time and whose records still exist."""
    own = aliased(AuditRecord)
    has_records = exists().where(own.organization_id == cast(AuditRecord.object_id, Uuid))
    query = select(AuditRecord.object_id).where(
        AuditRecord.organization_id.is_(None),
        AuditRecord.action == AuditAction.ORGANIZATION_DELETED,
        AuditRecord.at < before,
        has_records,
    )
    found = await session.scalars(query.order_by(AuditRecord.sequence).limit(MAX_CHAINS))
    return [UUID(id) for id in found if id]


async def _get_head(session: AsyncSession, chain: UUID) -> str | None:
    query = select(AuditRecord.hash).where(AuditRecord.organization_id == chain)
    return await session.scalar(query.order_by(AuditRecord.sequence.desc()).limit(1))
