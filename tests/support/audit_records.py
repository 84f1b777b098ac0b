"""Read the audit in tests."""

from typing import Any

from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import AuditRecord


async def list_records(transaction: TransactionFactory, **values: Any) -> list[AuditRecord]:
    """Return the records with these values, oldest first."""
    query = select(AuditRecord).filter_by(**values).order_by(AuditRecord.sequence)
    async with transaction() as session:
        return list((await session.scalars(query)).all())
