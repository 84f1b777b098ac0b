"""Knowing that somebody waits for a lock, without guessing how long that takes."""

import asyncio

from sqlalchemy import text

from tests.conftest import Transaction

WAITING = text(
    "select count(*) from pg_stat_activity "
    "where datname = current_database() and wait_event_type = 'Lock'"
)


async def somebody_waits(transaction: Transaction, *, how_many: int = 1) -> None:
    """Return as soon as so many transactions wait for a lock that another one has."""
    async with asyncio.timeout(10), transaction() as session:
        while (await session.scalar(WAITING) or 0) < how_many:
            await asyncio.sleep(0.01)
