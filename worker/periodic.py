"""The periodic tasks of the worker, and the scheduler that repeats them.

Each task reads from the database what is due. So it may run twice, late, or in several workers at
once, and nothing is lost. docs/decisions/jobs.md gives the reasons.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.security.encryption import SecretCipher
from services import agents, approvals, audit, gateways, idempotency, identity, messages, tasks
from services.gateways import requests, runs

LOCK_TIMEOUT = "5s"  # a task that waits longer for a board leaves it to the next run
TRASH_LIFETIME = timedelta(hours=1)
OUTAGE_RETRY_DELAY = 1.0  # seconds between two attempts of a task to reach the database
MIN_DELAY = 0.02  # seconds between two runs of a task, however much is due
LOCKED_BOARD_DELAY = timedelta(seconds=0.25)  # before boards that are locked are tried again
FAILED_BOARD_DELAY = timedelta(seconds=1)  # the same after an error
PURGE_LOCK = "mission control: purge"

CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    NoFreeConnection,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # the server is shutting down or starting up
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection broke in the middle of a message
)
"""What is raised when the database goes away."""

UNAVAILABLE_CODES = ("3D000", "55000")
"""The SQLSTATEs of a missing database, and of one that accepts nobody, as during a restore."""

QUERY_CANCELED = "57014"
"""The SQLSTATE of a cancelled statement. asyncpg derives it from OperatorInterventionError."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerIntervals:
    """How often the worker looks for due work, in seconds, if no notification arrives."""

    finalization: float = 5.0
    offline: float = 10.0
    purge: float = 600.0
    message_expiry: float = 600.0
    gateway_cleanup: float = 10.0
    leases: float = 5.0  # of gateways, see gateway_supervisor.py


DEFAULT_INTERVALS = WorkerIntervals()


@dataclass(frozen=True)
class PeriodicTask:
    """Work that is repeated every `interval` seconds, and at once after a notification on `topic`.

    `run` may return the time at which it is due earlier than that.
    """

    name: str
    interval: float
    run: Callable[[], Awaitable[datetime | None]]
    topic: str | None = None


class Scheduler:
    """Repeats periodic tasks, each independently of the others.

    All tasks run at the start, so that what became due while no worker was running is done. An
    exception is logged, and the task runs again. A database outage is logged once.
    """

    def __init__(self, tasks: Sequence[PeriodicTask], listener: PostgresListener) -> None:
        self._tasks = tasks
        self._listener = listener
        self._was_reached = False
        self._outage_began: float | None = None  # on the loop's clock

    async def run(self, stop: asyncio.Event) -> None:
        """Repeat the tasks until `stop` is set; those that are running then are completed."""
        async with asyncio.TaskGroup() as group:
            for task in self._tasks:
                group.create_task(self._repeat(task, stop))

    async def _repeat(self, task: PeriodicTask, stop: asyncio.Event) -> None:
        subscription = nullcontext(asyncio.Event())
        if task.topic is not None:
            subscription = self._listener.subscribe(task.topic)
        with subscription as notified:
            while not stop.is_set():
                notified.clear()
                delay = await self._run_once(task)
                await _wait_for_any((stop, notified), delay)

    async def _run_once(self, task: PeriodicTask) -> float:
        """Run a task, and return after how many seconds it is to run again."""
        began = asyncio.get_running_loop().time()
        try:
            due_at = await task.run()
        except asyncio.CancelledError:
            if stopped_by_caller():
                raise
            log.exception("The periodic task %s was cancelled from inside.", task.name)
            return task.interval
        except Exception as error:
            if is_connection_lost(error):
                self._begin_outage(error)
                return min(OUTAGE_RETRY_DELAY, task.interval)
            log.exception("The periodic task %s has failed.", task.name)
            return task.interval
        self._end_outage(began)
        if due_at is None:
            return task.interval
        return min(max((due_at - now()).total_seconds(), MIN_DELAY), task.interval)

    def _begin_outage(self, error: Exception) -> None:
        if self._outage_began is None:
            self._outage_began = asyncio.get_running_loop().time()
            what = "has lost" if self._was_reached else "cannot reach"
            log.warning("The worker %s the database: %r", what, error)

    def _end_outage(self, began: float) -> None:
        """Note that a run succeeded; one that began before the outage proves nothing."""
        self._was_reached = True
        if self._outage_began is not None and began > self._outage_began:
            self._outage_began = None
            log.info("The worker has reached the database again.")


class PeriodicTasks:
    """What the worker does again and again."""

    def __init__(self, settings: Settings, transaction: TransactionFactory) -> None:
        self.offline_after = timedelta(seconds=settings.agent_offline_after)
        self._audit_days = settings.audit_retention_days
        self._transaction = transaction
        self._connector = gateways.GatewayConnector.from_settings(settings, SecretCipher(settings))

    def schedule(self, intervals: WorkerIntervals) -> Sequence[PeriodicTask]:
        """Return the tasks with their intervals."""
        return (
            PeriodicTask(
                "finalization",
                intervals.finalization,
                self.finalize_approvals,
                topic=approvals.DECISIONS_TOPIC,
            ),
            PeriodicTask("offline", intervals.offline, self.mark_timeouts),
            PeriodicTask("purge", intervals.purge, self.purge),
            PeriodicTask("message_expiry", intervals.message_expiry, self.expire_messages),
            PeriodicTask("gateway_cleanup", intervals.gateway_cleanup, self.clean_up_gateways),
        )

    async def finalize_approvals(self) -> datetime | None:
        """Finalize the decisions whose undo time is over, and return when the next one is due.

        It works board by board and skips boards that are locked, so that these do not delay the
        others. Skipped boards are tried again soon.
        """
        async with self._open_transaction() as session:
            due = await approvals.list_boards_with_due_approvals(session)
        results = [await self._finalize_board(board_id) for board_id in due]
        async with self._open_transaction() as session:
            next_at = await approvals.find_next_finalization(session)
        if next_at is not None and next_at <= now():
            return now() + (LOCKED_BOARD_DELAY if all(results) else FAILED_BOARD_DELAY)
        return next_at

    async def mark_timeouts(self) -> None:
        """Mark agents offline that have been silent, runs as lost, and requests as expired."""
        async with self._open_transaction() as session:
            await agents.mark_silent_agents_offline(session, offline_after=self.offline_after)
        async with self._open_transaction() as session:
            await runs.mark_lost_runs(session)
        async with self._open_transaction() as session:
            await requests.expire_requests(session)

    async def purge(self) -> None:
        """Delete what is kept only for a while: deleted tasks, sign-ins, runs, ended audits ….

        Nothing happens while another worker does it: two deletions of the same rows could deadlock.
        """
        async with self._open_transaction() as session:
            if not await session.scalar(_TRY_PURGE_LOCK):
                return
            await tasks.purge_trash(session, TRASH_LIFETIME)
            await identity.delete_expired_sign_ins(session)
            await identity.delete_old_failed_attempts(session)
            await idempotency.delete_expired_responses(session)
            await runs.delete_old_runs(session)
            await audit.delete_expired_chains(session, keep_days=self._audit_days)

    async def expire_messages(self) -> None:
        """Fail the messages that are undelivered for too long, in batches."""
        expired = messages.EXPIRY_BATCH_SIZE
        while expired == messages.EXPIRY_BATCH_SIZE:
            async with self._open_transaction() as session:
                expired = await messages.expire_undelivered(session)

    async def clean_up_gateways(self) -> None:
        """Remove our agents from gateways that were deleted here."""
        await gateways.run_cleanup(self._open_transaction, self._connector)

    async def _finalize_board(self, board_id: UUID) -> bool:
        """Finalize what is due on a board; return False after an error, which is logged."""
        try:
            async with self._open_transaction() as session:
                await approvals.finalize_due_approvals(session, board_id=board_id, skip_locked=True)
        except Exception as error:
            if is_connection_lost(error):
                raise
            log.warning(
                "The decisions on board %s could not be finalized: %s",
                board_id,
                error,
                exc_info=not isinstance(error, DBAPIError),
            )
            return False
        return True

    @asynccontextmanager
    async def _open_transaction(self) -> AsyncGenerator[AsyncSession]:
        """Open a transaction that does not wait for a lock longer than LOCK_TIMEOUT."""
        async with self._transaction() as session:
            await session.execute(_SET_LOCK_TIMEOUT)
            yield session


def is_connection_lost(error: BaseException | None) -> bool:
    """Return whether an error means that the database is away, and is no fault of the worker.

    A statement that was cancelled, as by `statement_timeout`, does not mean that.
    """
    if sqlstate_of(error) == QUERY_CANCELED:
        return False
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    while error is not None:
        if (
            isinstance(error, CONNECTION_ERRORS)
            or getattr(error, "sqlstate", None) in UNAVAILABLE_CODES
        ):
            return True
        error = error.__cause__
    return False


def sqlstate_of(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of an error or of one of its causes."""
    while error is not None:
        code = getattr(error, "sqlstate", None)
        if code:
            return str(code)
        error = error.__cause__ or getattr(error, "orig", None)
    return None


def stopped_by_caller() -> bool:
    """Return whether the current task is being cancelled, and not only a part of its work."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


_SET_LOCK_TIMEOUT = select(func.set_config("lock_timeout", LOCK_TIMEOUT, True))
_TRY_PURGE_LOCK = select(func.pg_try_advisory_xact_lock(func.hashtextextended(PURGE_LOCK, 0)))


async def _wait_for_any(events: Sequence[asyncio.Event], seconds: float) -> None:
    """Return when one of the events is set, and after so many seconds at the latest."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
