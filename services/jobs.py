"""Work for later: it is put on the queue in the same transaction as the change that wants it.

What is queued here, worker.py does. docs/decisions says why the queue is pgqueuer.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import cast

from pgqueuer.ports.driver import Driver
from pgqueuer.queries import Queries
from sqlalchemy import column as named
from sqlalchemy import delete, func, select, table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

CHANNEL = "ch_pgqueuer"  # on which the queue's own trigger rings
LOG_KEPT = timedelta(days=1)  # how long the queue remembers what it has done

_memory = [table(name, named("created")) for name in ("pgqueuer_log", "pgqueuer_statistics")]


class Job(StrEnum):
    """The kinds of work that can be queued."""

    SETTLE_APPROVALS = "settle_approvals"


async def enqueue(
    session: AsyncSession,
    job: Job,
    payload: Mapping[str, object] | None = None,
    *,
    at: datetime | None = None,
) -> None:
    """Queue a job for `at`, or for now. If the transaction rolls back, it never was queued."""
    delay = timedelta()
    if at is not None:
        started: datetime = (await session.execute(select(func.now()))).scalar_one()
        delay = max(at - started, delay)  # the queue counts from the transaction's start
    queue = Queries(cast("Driver", _InTransaction(await session.connection())))
    await queue.enqueue(job, json.dumps(dict(payload or {})).encode(), execute_after=delay)


async def forget(session: AsyncSession, before: datetime) -> None:
    """Delete what the queue has written down about jobs that were done before a moment."""
    for rows in _memory:
        await session.execute(delete(rows).where(rows.c.created < before))


class _InTransaction:
    """Lets pgqueuer write through SQLAlchemy's connection, so that it shares its transaction.

    The driver's own connection is no way in: SQLAlchemy begins the transaction there only with its
    first statement, and what pgqueuer had written before that would outlive a rollback. Putting a
    job on the queue asks nothing more of a driver than to fetch.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        rows = await self._connection.exec_driver_sql(query, args)
        return [dict(row) for row in rows.mappings()]
