"""What the worker does by itself, again and again. Each chore finds out what there is to do.

It may be done twice, late, or by several workers at once, and nothing is lost.
"""

import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from uuid import UUID

import asyncpg
from pgqueuer.errors import FailingListenerError
from pgqueuer.models import Job, Schedule
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.sealing import Seal
from kit.settings import Settings
from services import (
    agents,
    approvals,
    gateway_requests,
    gateways,
    idempotency,
    identity,
    jobs,
    messages,
    runs,
    tasks,
)

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]

LOCK_TIMEOUT = "5s"  # a chore that waits longer for a board leaves it to the next time
TRASH_KEPT = timedelta(hours=1)

LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # it is told to stop, or is not yet ready
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection broke in the middle of something
    FailingListenerError,
)
"""What is raised when the database goes away."""

CLOSED = ("3D000", "55000")
"""The SQLSTATEs of a database that is not there, or lets nobody in, as while it is restored."""

log = logging.getLogger(__name__)


class Chores:
    """What there is to do. Each chore finds out by itself what that is at the moment."""

    def __init__(self, settings: Settings, transaction: Transaction) -> None:
        self.offline_after = timedelta(seconds=settings.agent_offline_after)
        self._transaction = transaction
        self._carrier = gateways.Carrier.of(settings, Seal(settings))

    async def catch_up(self) -> None:
        """Do what should have been done while no worker was there."""
        await self.settle_all()
        await self.mark_offline()

    async def settle(self, job: Job) -> None:
        """Settle what is due on the board that a job names."""
        await self._settle(UUID(json.loads(job.payload or b"")["board_id"]))

    async def settle_all(self, _schedule: Schedule | None = None) -> None:
        """Settle what is due, board by board: one that is stuck does not hold up the others."""
        async with self._patiently() as session:
            due = await approvals.boards_with_due(session)
        for board_id in due:
            try:
                await self._settle(board_id)
            except Exception as error:
                if is_lost(error):
                    raise
                log.warning(
                    "Answers on board %s could not be settled: %s",
                    board_id,
                    error,
                    exc_info=not isinstance(error, DBAPIError),
                )

    async def mark_offline(self, _schedule: Schedule | None = None) -> None:
        """Write down which agents, runs and requests have been left alone for too long."""
        async with self._patiently() as session:
            await agents.mark_offline(session, offline_after=self.offline_after)
        async with self._patiently() as session:
            await runs.lose(session)
        async with self._patiently() as session:
            await gateway_requests.expire(session)

    async def purge(self, _schedule: Schedule | None = None) -> None:
        """Forget what is kept for a while: deleted tasks, sign-ins, answers, and jobs done."""
        async with self._patiently() as session:
            await tasks.purge_trash(session, TRASH_KEPT)
            await identity.purge_sign_ins(session)
            await idempotency.purge(session)
            await jobs.forget(session, now() - jobs.LOG_KEPT)
            await runs.forget(session)

    async def give_up(self, _schedule: Schedule | None = None) -> None:
        """Let messages fail that no agent has fetched for too long, some hundreds at a time."""
        found = messages.BATCH
        while found == messages.BATCH:
            async with self._patiently() as session:
                found = await messages.give_up(session)

    async def leave_gateways(self, _schedule: Schedule | None = None) -> None:
        """Have agents of ours removed from gateways that are known here no more."""
        await gateways.take_leave(self._patiently, self._carrier)

    async def _settle(self, board_id: UUID) -> None:
        async with self._patiently() as session:
            await approvals.settle_due(session, board_id=board_id)

    @asynccontextmanager
    async def _patiently(self) -> AsyncGenerator[AsyncSession]:
        """Open a transaction that does not wait for a lock for ever."""
        async with self._transaction() as session:
            await session.execute(select(func.set_config("lock_timeout", LOCK_TIMEOUT, True)))
            yield session


def is_lost(error: BaseException | None) -> bool:
    """Say whether an error means that the database is away, and not that we did wrong."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    while error is not None:
        if isinstance(error, LOST) or getattr(error, "sqlstate", None) in CLOSED:
            return True
        error = error.__cause__
    return False
