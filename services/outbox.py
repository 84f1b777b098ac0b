"""Outboxes: tables whose rows are sent, in attempts that a process may leave at any point.

Messages to agents, and the deliveries of notifications and of webhooks, are sent in three steps:

1. Lock a row that is due, and `claim` it: the attempt is counted before it begins, and the row is
   due again when the claim ends. So the next process repeats an attempt that was interrupted, with
   the same id.
2. Send it, outside of a transaction.
3. `lock` the row again and record the result, unless it is `outdated`: if another process has made
   a later attempt meanwhile, only a success counts. After a failure, `find_retry` returns the time
   of the next attempt.

Each domain decides what is due, what may be sent at the same time, and what follows from a result.
"""

import random
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Generic, TypeVar
from uuid import UUID

from sqlalchemy import ARRAY, String, Uuid, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.listen import CHANNEL
from core.db.reads import Query
from models import Message, NotificationDelivery, WebhookDelivery

Row = TypeVar("Row", bound=Message | NotificationDelivery | WebhookDelivery)


class Outbox(Generic[Row]):
    """A table whose rows are sent.

    A claim is longer than an attempt takes. There is one attempt more than delays; `jitter` is the
    part of a delay by which it varies in both directions.
    """

    def __init__(
        self,
        table: type[Row],
        *,
        claim_duration: timedelta,
        retry_delays: Sequence[timedelta],
        jitter: float = 0.0,
    ) -> None:
        self.claim_duration, self.retry_delays, self.jitter = claim_duration, retry_delays, jitter
        self._locked: Query[Row] = Query(
            select(table)
            .where(table.id == func.any(bindparam("ids", type_=ARRAY(Uuid()))))
            .order_by(table.id)
            .with_for_update()
            .execution_options(populate_existing=True),
            itemgetter(0),
        )

    def claim(self, row: Row, at: datetime) -> None:
        """Count an attempt at a locked row; until the claim ends, no other process attempts it."""
        row.attempts += 1
        row.next_attempt_at = at + self.claim_duration

    async def lock(self, session: AsyncSession, ids: Collection[UUID]) -> Sequence[Row]:
        """Lock the rows of an attempt that still exist, in the order of their ids."""
        return await self._locked.fetch(session, ids=list(ids))

    def find_retry(
        self, failures: int, at: datetime, wanted: timedelta | None = None
    ) -> datetime | None:
        """Return the time of the next attempt; None after the last one.

        `failures` is the number of attempts that have failed. The receiver may want a longer delay.
        """
        if failures > len(self.retry_delays):
            return None
        delay = self.retry_delays[failures - 1]
        delay *= random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311
        return at + max(delay, wanted or timedelta())


def is_outdated(
    row: Message | NotificationDelivery | WebhookDelivery, attempts: int, *, is_success: bool
) -> bool:
    """Return whether the result of an attempt must not be recorded, because there is a later one.

    `attempts` is the number that the claim has counted. A success is always recorded.
    """
    return row.attempts != attempts and not is_success


_WAKE_WORKERS: Query[object] = Query(
    select(func.pg_notify(CHANNEL, bindparam("topic", type_=String)))
)


async def wake_workers(session: AsyncSession, topic: str) -> None:
    """Wake the workers that wait for a topic when the transaction is committed."""
    await _WAKE_WORKERS.fetch(session, topic=topic)
