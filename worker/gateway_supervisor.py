"""Keeps a connection to each gateway, so that its status is always known.

It runs in every worker. Each gateway is leased by one of them, in its row; if that worker dies,
another takes over. docs/decisions/leases.md gives the reasons.
"""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import MAX_WORKER_IDLE, TransactionFactory, is_temporary_error
from core.db.listen import PostgresListener
from core.errors import AppError
from models import Agent, Gateway
from openclaw import ConnectionDiagnosis, RetryPolicy
from services import audit, desired_state, gateways
from worker.scheduler import wait_for_any

DEFAULT_RETRY_POLICY = RetryPolicy(first_delay=1.0, max_delay=7.0)
AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}  # a renewal is a single statement
CLOSE_TIMEOUT = 0.3  # seconds for closing the connections when the worker stops
RETRY_DELAY = 1.0  # seconds after a renewal that has failed
MIN_PAUSE = 0.2  # seconds between two renewals, however many gateways are changed
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # which continues during a sleep

log = logging.getLogger(__name__)


class LeaseExpired(ConnectionError):
    """A transaction for a gateway took longer than the lease is certain."""


class LeaseTerm:
    """The time for which this process has its gateways; afterwards another one may take over.

    A process that was frozen does not know that it has lost them. So what it does for a gateway
    waits while the lease has less than `margin` seconds, until it is renewed, or the work is
    cancelled because it is lost. The server ends a transaction that is idle for `margin` seconds.
    """

    def __init__(self, seconds: float = 8.5, *, margin: float = MAX_WORKER_IDLE) -> None:
        self.seconds, self._margin = seconds, margin
        self._ends_at = float("-inf")
        self._renewed = asyncio.Event()

    @property
    def remaining(self) -> float:
        """The seconds until the leases end, negative afterwards."""
        return self._ends_at - time.clock_gettime(CLOCK)

    def renew(self, remaining: float) -> None:
        """Set how long the leases are valid, in seconds."""
        self._ends_at = time.clock_gettime(CLOCK) + remaining
        self._renewed.set()

    async def wait_certain(self) -> None:
        """Wait until the leases are valid for at least the margin."""
        while self.remaining < self._margin:
            self._renewed.clear()
            await self._renewed.wait()

    def fence(self, transaction: TransactionFactory) -> TransactionFactory:
        """Return a factory of transactions that no process commits whose leases have ended."""

        @asynccontextmanager
        async def open_fenced() -> AsyncGenerator[AsyncSession]:
            await self.wait_certain()
            async with transaction() as session:
                yield session
                # A commit that waits for locks could end after the lease.
                await audit.insert_pending_records(session)
                if self.remaining < self._margin:
                    raise LeaseExpired("the lease of the gateway may have ended meanwhile")

        return open_fenced


@dataclass(frozen=True)
class LeasedGateway:
    """A leased gateway: its version when it was connected, and the task that keeps connected."""

    version: int
    task: asyncio.Task[None]


class GatewaySupervisor:
    """Leases the gateways that no other worker has, and keeps connections to them."""

    def __init__(
        self,
        connector: gateways.GatewayConnector,
        transaction: TransactionFactory,
        listener: PostgresListener,
        *,
        jobs: Sequence[gateways.GatewayJob] = (),
        interval: float = 4.5,
        term: LeaseTerm | None = None,
        retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
    ) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._connector = connector
        self._transaction = transaction
        self._listener = listener
        self._jobs = jobs
        self._interval = interval
        self._term = term or LeaseTerm()
        self._leased_transaction = self._term.fence(transaction)
        self._retry_policy = retry_policy
        self._leased: dict[UUID, LeasedGateway] = {}
        self._is_failing = False

    async def run(self, stop: asyncio.Event) -> None:
        """Lease gateways until `stop` is set. No lease outlives a long outage of the database."""
        try:
            with self._listener.subscribe(gateways.GATEWAYS_TOPIC) as notified:
                while not stop.is_set():
                    notified.clear()
                    delay = await self._renew_leases()
                    pause = min(delay, MIN_PAUSE)
                    await wait_for_any((stop,), pause)
                    await wait_for_any((stop, notified), delay - pause)
        finally:
            await self._release_all()

    async def _renew_leases(self) -> float:
        """Renew the leases, connect to new and changed gateways, and disconnect from lost ones.

        If a renewal fails, connections are kept as long as the leases are valid. Returns the
        seconds until the next renewal, which is in time for leases of others that end.
        """
        if self._term.remaining <= 0:  # as after this process was frozen
            await self._disconnect(list(self._leased))
        began = time.clock_gettime(CLOCK)
        limit = self._term.remaining if self._leased else self._term.seconds
        try:
            async with asyncio.timeout(limit), self._transaction() as session:
                await session.connection(execution_options=AUTOCOMMIT)
                duration = timedelta(seconds=self._term.seconds)
                leased, free_in = await gateways.acquire_leases(session, self.name, duration)
        except Exception as error:
            self._log_failure(error)
            if self._term.remaining <= 0:
                await self._disconnect(list(self._leased))
            end = self._term.remaining if self._leased else RETRY_DELAY
            return max(min(RETRY_DELAY, self._interval, end), 0.0)
        self._is_failing = False
        versions = {gateway.id: gateway.version for gateway in leased}
        stale = [id for id, lease in self._leased.items() if versions.get(id) != lease.version]
        await self._disconnect(stale)  # before the term is renewed, which lets work continue
        self._term.renew(began + self._term.seconds - time.clock_gettime(CLOCK))
        for gateway in leased:
            if gateway.id not in self._leased:
                task = asyncio.create_task(self._keep_connected(gateway))
                self._leased[gateway.id] = LeasedGateway(gateway.version, task)
        return self._interval if free_in is None else min(self._interval, free_in)

    def _log_failure(self, error: Exception) -> None:
        """Log that the leases could not be renewed; an outage of the database only once."""
        if not is_temporary_error(error):
            log.exception("The leases of gateways could not be renewed.")
        elif not self._is_failing:
            log.warning("The leases of gateways cannot be renewed: %s", error)
        self._is_failing = True

    async def _keep_connected(self, gateway: Gateway) -> None:
        """Stay connected, and store the gateway's status whenever it changes."""

        async def on_change(diagnosis: ConnectionDiagnosis) -> None:
            result = gateways.ProbeResult.from_diagnosis(self._connector, gateway.id, diagnosis)
            version, known = result.gateway_version, gateway.gateway_version
            async with self._leased_transaction() as session:
                recorded = await gateways.record_probe(session, gateway, result)
                if recorded and version and known and version != known:
                    # Another version can need other files, and another place for them.
                    await desired_state.request_sync(session, Agent.gateway_id == gateway.id)
            if recorded:  # otherwise it was changed or deleted, and is connected again
                gateway.gateway_version = version or known

        while True:
            try:
                await self._connector.stay_connected(
                    gateway,
                    on_change,
                    jobs=self._jobs,
                    retry_policy=self._retry_policy,
                    before_call=self._term.wait_certain,
                )
            except AppError as error:
                log.warning("The gateway %s cannot be connected: %s", gateway.id, error.message)
                return  # it is connected again when its row changes
            except Exception as error:
                is_ours = not is_temporary_error(error)
                level = logging.ERROR if is_ours else logging.WARNING
                text = "The connection to the gateway %s has failed: %r"
                log.log(level, text, gateway.id, error, exc_info=is_ours)
            await asyncio.sleep(self._interval)

    async def _disconnect(self, ids: list[UUID]) -> None:
        tasks = [self._leased.pop(id).task for id in ids]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT)

    async def _release_all(self) -> None:
        """Release all gateways, so that other workers need not wait until the leases end."""
        await self._disconnect(list(self._leased))
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_TIMEOUT), self._transaction() as session:
                await gateways.release_leases(session, self.name)
