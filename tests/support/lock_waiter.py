"""Detect that a transaction waits for a lock, without a fixed delay."""

import asyncio
from typing import Any

from sqlalchemy import text

from core.db.engine import TransactionFactory

LOCK_WAITERS = text(
    "select count(*) from pg_stat_activity "
    "where datname = current_database() and wait_event_type = 'Lock'"
)


async def wait_for_lock_waiter(
    transaction: TransactionFactory, *, count: int = 1, unless: asyncio.Future[Any] | None = None
) -> None:
    """Return as soon as transactions wait for locks of others, or `unless` is done before."""
    async with asyncio.timeout(10):
        while await _count_waiters(transaction) < count and not (unless and unless.done()):
            await asyncio.sleep(0.01)


async def _count_waiters(transaction: TransactionFactory) -> int:
    """Count the waiting connections. Within one transaction the result would never change."""
    async with transaction() as session:
        return await session.scalar(LOCK_WAITERS) or 0
