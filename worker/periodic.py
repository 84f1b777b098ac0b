"""The periodic tasks of the worker.

Each task reads from the database what is due. So it may run twice, late, or in several workers at
once, and nothing is lost. docs/decisions/jobs.md gives the reasons.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, bindparam, exists, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory, is_outage, is_temporary_error
from core.db.reads import Query, ReadFactory, Source
from core.security.encryption import SecretCipher
from models import DECISIONS_TOPIC, Agent
from services import (
    agents,
    approvals,
    audit,
    board_webhooks,
    channels,
    coding_sessions,
    counters,
    gateways,
    idempotency,
    identity,
    kept_forms,
    limit_shares,
    messages,
    notifications,
    retention,
    tasks,
    tool_calls,
    webhook_endpoints,
)
from services.gateways import provisioning, requests, runs
from worker.scheduler import PeriodicTask

LOCK_TIMEOUT = "5s"  # a task that waits longer for a board leaves it to the next run
REPAIR_HOUR = 3  # of the day in UTC, at which the repair of counters is due
LOCKED_BOARD_DELAY = timedelta(seconds=0.25)  # before boards that are locked are tried again
FAILED_BOARD_DELAY = timedelta(seconds=1)  # the same after an error
PURGE_LOCK = "mission control: purge"
BATCH_PAUSE = 0.05  # seconds between two batches of a deletion, in which others write

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerIntervals:
    """How often the worker looks for due work, in seconds, if no notification arrives."""

    finalization: float = 30.0
    offline: float = 15.0
    follow_up: float = 30.0
    purge: float = 600.0
    counter_repair: float = 3600.0  # after which a failed repair is repeated
    message_expiry: float = 600.0
    reminders: float = 60.0  # of due dates
    gateway_cleanup: float = 30.0
    notifications: float = 30.0
    webhook_payloads: float = 10.0  # that wait for a message to an agent
    leases: float = 4.5  # of gateways, see gateway_supervisor.py


DEFAULT_INTERVALS = WorkerIntervals()


class PeriodicTasks:
    """What the worker does again and again."""

    def __init__(
        self, settings: Settings, transaction: TransactionFactory, open_read: ReadFactory
    ) -> None:
        self.offline_after = settings.offline_after
        self._settings = settings
        self._transaction = transaction
        self._counter_repair = CounterRepair(transaction)
        self._open_read = open_read
        self._connector = gateways.GatewayConnector.from_settings(settings, SecretCipher(settings))

    def schedule(self, intervals: WorkerIntervals) -> Sequence[PeriodicTask]:
        """Return the tasks with their intervals."""
        return (
            PeriodicTask(
                "finalization",
                intervals.finalization,
                self.finalize_approvals,
                topic=DECISIONS_TOPIC,
            ),
            PeriodicTask("offline", intervals.offline, self.mark_timeouts),
            PeriodicTask("follow_up", intervals.follow_up, self.follow_up),
            PeriodicTask("purge", intervals.purge, self.purge),
            PeriodicTask("message_expiry", intervals.message_expiry, self.expire_messages),
            PeriodicTask(
                "webhook_payloads", intervals.webhook_payloads, self.send_webhook_payloads
            ),
            PeriodicTask("reminders", intervals.reminders, self.remind_of_due_dates),
            PeriodicTask("gateway_cleanup", intervals.gateway_cleanup, self.clean_up_gateways),
            PeriodicTask(
                "counter_repair", intervals.counter_repair, self._counter_repair.run_if_due
            ),
        )

    async def finalize_approvals(self) -> datetime | None:
        """Finalize the decisions whose undo time is over, and return when the next one is due.

        It works board by board and skips boards that are locked, so that these do not delay the
        others. Skipped boards are tried again soon.
        """
        next_at = await self._find_next_finalization()
        if next_at is None or next_at > now():
            return next_at
        async with self._open_transaction() as session:
            due = await approvals.list_boards_with_due_approvals(session)
        results = [await self._finalize_board(board_id) for board_id in due]
        next_at = await self._find_next_finalization()
        if next_at is not None and next_at <= now():
            return now() + (LOCKED_BOARD_DELAY if all(results) else FAILED_BOARD_DELAY)
        return next_at

    async def mark_timeouts(self) -> None:
        """Mark agents offline that have been silent, runs as lost, and requests as expired."""
        async with self._open_read() as source:
            due = await find_due_timeouts(source, self.offline_after)
        if due.agents:
            with _continue_after_failure("Silent agents could not be marked offline"):
                async with self._open_transaction() as session:
                    after = self.offline_after
                    await agents.mark_silent_agents_offline(session, offline_after=after)
        if due.runs:
            with _continue_after_failure("Lost runs could not be marked"):
                async with self._open_transaction() as session:
                    await runs.mark_lost_runs(session)
        if due.requests:
            async with self._open_transaction() as session:
                await requests.expire_requests(session)

    async def follow_up(self) -> None:
        """Ask what has become of tasks on which nothing happens, and of undecided approvals."""
        async with self._open_read() as source:
            board_ids = await tasks.list_boards_to_follow_up(source)
            has_reminders = await approvals.has_due_reminders(source)
            has_outdated = await approvals.has_outdated_first_approvals(source)
        for board_id in board_ids:
            with _continue_after_failure(f"The tasks on board {board_id} could not be followed up"):
                async with self._open_transaction() as session:
                    await tasks.follow_up_tasks(session, board_id)
        if has_outdated:
            with _continue_after_failure("Outdated first approvals could not be reopened"):
                async with self._open_transaction() as session:
                    await approvals.reopen_outdated_first_approvals(session)
        if has_reminders:
            async with self._open_transaction() as session:
                await approvals.remind_of_approvals(session)

    async def purge(self) -> None:
        """Delete what is kept only for a while: deleted tasks, sign-ins, runs, ended audits ….

        Tasks of people who have lost access are unassigned.

        Each batch is a transaction, so that others wait briefly and only for its rows. A deletion
        is repeated until it has nothing more to do; one that fails prevents no other. It does
        nothing while another worker purges.
        """
        settings = self._settings
        for delete in (
            partial(tasks.purge_trash, keep_days=settings.trash_retention_days),
            tasks.purge_bulk_changes,
            tasks.unassign_former_readers,
            partial(identity.delete_expired_credentials, idle_days=settings.session_idle_days),
            identity.delete_old_failed_attempts,
            limit_shares.delete_expired_shares,
            idempotency.delete_expired_responses,
            kept_forms.delete_expired_forms,
            partial(runs.delete_old_runs, keep_days=settings.run_retention_days),
            coding_sessions.delete_old_sessions,
            partial(audit.delete_expired_chains, keep_days=settings.audit_retention_days),
            partial(board_webhooks.delete_old_payloads, keep_days=settings.webhook_retention_days),
            notifications.delete_old_notifications,
            channels.delete_old_tests,
            webhook_endpoints.delete_old_deliveries,
            tool_calls.delete_old_calls,
            partial(retention.delete_old_messages, keep_days=settings.message_retention_days),
            partial(retention.delete_old_events, keep_days=settings.event_retention_days),
        ):
            function: Any = getattr(delete, "func", delete)
            with _continue_after_failure(f"{function.__name__} has failed"):
                has_more = True
                while has_more:
                    async with self._open_transaction() as session:
                        if not await session.scalar(_TRY_PURGE_LOCK):
                            return
                        has_more = bool(await delete(session))
                    await asyncio.sleep(BATCH_PAUSE if has_more else 0)

    async def expire_messages(self) -> None:
        """Fail the messages that are undelivered for too long, in batches."""
        expired = messages.EXPIRY_BATCH_SIZE
        while expired == messages.EXPIRY_BATCH_SIZE:
            async with self._open_transaction() as session:
                expired = await messages.expire_undelivered(session)

    async def send_webhook_payloads(self) -> None:
        """Send queued payloads of incoming webhooks, as many as their agents can get now."""
        async with self._open_read() as source:
            queues = await board_webhooks.list_queues(source)
        base_url = self._settings.base_url
        for board_id, webhook_id in queues:
            with _continue_after_failure(f"The payloads of webhook {webhook_id} could not be sent"):
                is_sent = True
                while is_sent:
                    async with self._open_transaction() as session:
                        is_sent = await board_webhooks.send_queued_payloads(
                            session, board_id, webhook_id, base_url=base_url
                        )

    async def remind_of_due_dates(self) -> None:
        """Remind people of the due dates of their tasks."""
        async with self._open_read() as source:
            is_due = await tasks.has_due_reminders(source)
        if is_due:
            async with self._open_transaction() as session:
                await tasks.remind_of_due_dates(session)

    async def clean_up_gateways(self) -> None:
        """Remove our agents from gateways that were deleted here."""
        await provisioning.run_cleanup(
            self._open_transaction, self._connector, open_read=self._open_read
        )

    async def _find_next_finalization(self) -> datetime | None:
        async with self._open_read() as source:
            return await approvals.find_next_finalization(source)

    async def _finalize_board(self, board_id: UUID) -> bool:
        """Finalize what is due on a board; return False after an error, which is logged."""
        with _continue_after_failure(f"The decisions on board {board_id} could not be finalized"):
            async with self._open_transaction() as session:
                await approvals.finalize_due_approvals(session, board_id=board_id, skip_locked=True)
            return True
        return False

    @asynccontextmanager
    async def _open_transaction(self) -> AsyncGenerator[AsyncSession]:
        """Open a transaction that does not wait for a lock longer than LOCK_TIMEOUT."""
        async with self._transaction() as session:
            await session.execute(_SET_LOCK_TIMEOUT)
            yield session


@contextmanager
def _continue_after_failure(message: str) -> Generator[None]:
    """Log an error of one part of a task, so that the other parts run; raise it in an outage."""
    try:
        yield
    except Exception as error:
        if is_outage(error):
            raise
        log.warning("%s: %s", message, error, exc_info=not is_temporary_error(error))


_SET_LOCK_TIMEOUT = select(func.set_config("lock_timeout", LOCK_TIMEOUT, True))
_TRY_PURGE_LOCK = select(func.pg_try_advisory_xact_lock(func.hashtextextended(PURGE_LOCK, 0)))


class CounterRepair:
    """Compares the counters with a recount soon after the start and every night.

    Triggers maintain the counters with what they count, so the repair should find nothing. It finds
    what a migration or a person changed without the triggers.
    """

    def __init__(self, transaction: TransactionFactory) -> None:
        self._transaction = transaction
        # soon, because a worker may never run at REPAIR_HOUR
        self._due_at = min(next_repair(now()), now() + timedelta(minutes=10))

    async def run_if_due(self) -> datetime:
        """Repair the counters if it is time, and return when that is due next."""
        if now() >= self._due_at:
            await self.run()
            self._due_at = next_repair(now())
        return self._due_at

    async def run(self) -> None:
        """Repair the counters that differ from a recount, and log a warning for each."""
        async with self._transaction() as session:
            found = await counters.repair_counters(session)
        for one in found[:100]:
            log.warning("The counter %s (%s) was wrong by %s.", one.table, one.key, one.added)
        if len(found) > 100:
            log.warning("%d more counters were wrong.", len(found) - 100)


def next_repair(at: datetime) -> datetime:
    """Return the next time after a moment at which the repair is due."""
    today = at.astimezone(UTC).replace(hour=REPAIR_HOUR, minute=0, second=0, microsecond=0)
    return today if today > at else today + timedelta(days=1)


_AT = bindparam("at", type_=DateTime(timezone=True))
_SILENT_SINCE = bindparam("silent_since", type_=DateTime(timezone=True))

_TIMEOUTS = Query(
    select(
        Agent,
        exists().where(runs.is_lost_condition(_AT)),
        exists().where(requests.is_expired_condition(_AT)),
    )
    .select_from(select(literal(1)).subquery("always"))
    .outerjoin(Agent, agents.may_be_overdue_condition(_SILENT_SINCE))
)
"""A row for each agent that may be overdue; one without an agent if there is none."""


@dataclass(frozen=True)
class DueTimeouts:
    """What has passed its timeout: whether there are such agents, runs and requests."""

    agents: bool
    runs: bool
    requests: bool


async def find_due_timeouts(source: Source, offline_after: timedelta) -> DueTimeouts:
    """Return what has to be marked as offline, lost and expired."""
    at = now()
    rows = await _TIMEOUTS.fetch(source, at=at, silent_since=at - offline_after)
    _, has_lost_runs, has_expired_requests = rows[0]
    return DueTimeouts(
        any(agent and agents.is_overdue(agent, at, offline_after) for agent, *_ in rows),
        has_lost_runs,
        has_expired_requests,
    )
