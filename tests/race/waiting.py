"""Knowing that somebody waits for a lock, without guessing how long that takes."""

import asyncio

from sqlalchemy import text

from tests.conftest import Transaction

WAITING = text(
    "select count(*) from pg_stat_activity "
    "where datname = current_database() and wait_event_type = 'Lock'"
)


async def somebody_waits(transaction: Transaction) -> None:
    """Return as soon as a transaction waits for a lock that another one has."""
    async with asyncio.timeout(10):
        while not await _waiting(transaction):
            await asyncio.sleep(0.01)


async def _waiting(transaction: Transaction) -> int:
    """Count those that wait. Within one transaction the answer would always be the same."""
    async with transaction() as session:
        return await session.scalar(WAITING) or 0
