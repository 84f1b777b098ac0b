"""Keeps a connection to each gateway, so that its status is always known.

It runs in every worker. Each gateway is leased by one of them, in its row; if that worker dies,
another takes over. docs/decisions/openclaw-client.md gives the reasons.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from core.db.engine import TransactionFactory, is_temporary_error
from core.errors import AppError
from models import Agent, Gateway
from openclaw import ConnectionDiagnosis, RetryPolicy
from services import desired_state, gateways

DEFAULT_RETRY_POLICY = RetryPolicy(first_delay=1.0, max_delay=7.0)
AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}  # a renewal is a single statement
CLOSE_TIMEOUT = 0.3  # seconds for closing the connections when the worker stops

log = logging.getLogger(__name__)


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
        *,
        jobs: Sequence[gateways.GatewayJob] = (),
        interval: float = 5.0,
        lease_seconds: float = 20.0,
        retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
    ) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._connector = connector
        self._transaction = transaction
        self._jobs = jobs
        self._interval = interval
        self._lease = timedelta(seconds=lease_seconds)
        self._retry_policy = retry_policy
        self._leased: dict[UUID, LeasedGateway] = {}
        self._is_failing = False
        self._lease_ends_at = float("-inf")  # on the loop's clock

    async def run(self, stop: asyncio.Event) -> None:
        """Lease gateways until `stop` is set. No lease outlives a long outage of the database."""
        try:
            while not stop.is_set():
                await self._renew_leases()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._interval)
        finally:
            await self._release_all()

    async def _renew_leases(self) -> None:
        """Renew the leases, connect to new and changed gateways, and disconnect from lost ones.

        If a renewal fails, connections are kept as long as the next one can still be in time. A
        renewal takes no longer than the current leases are valid.
        """
        clock, seconds = asyncio.get_running_loop().time, self._lease.total_seconds()
        began = clock()
        deadline = self._lease_ends_at if self._leased else began + seconds
        try:
            async with asyncio.timeout_at(deadline), self._transaction() as session:
                await session.connection(execution_options=AUTOCOMMIT)
                leased = await gateways.acquire_leases(session, self.name, self._lease)
        except Exception as error:
            self._log_failure(error)
            if clock() + self._interval < self._lease_ends_at:
                return
            leased = []
        else:
            self._is_failing = False
            self._lease_ends_at = began + seconds
        versions = {gateway.id: gateway.version for gateway in leased}
        stale = [id for id, lease in self._leased.items() if versions.get(id) != lease.version]
        await self._disconnect(stale)
        for gateway in leased:
            if gateway.id not in self._leased:
                task = asyncio.create_task(self._keep_connected(gateway))
                self._leased[gateway.id] = LeasedGateway(gateway.version, task)

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
            async with self._transaction() as session:
                await gateways.record_probe(session, gateway, result)
                if version and known and version != known:
                    # Another version can need other files, and another place for them.
                    await desired_state.request_sync(session, Agent.gateway_id == gateway.id)
            gateway.gateway_version = version or known

        while True:
            try:
                await self._connector.stay_connected(
                    gateway, on_change, jobs=self._jobs, retry_policy=self._retry_policy
                )
            except AppError as error:
                log.warning("The gateway %s cannot be connected: %s", gateway.id, error.message)
                return  # it is connected again when its row changes
            except Exception:
                log.exception("The connection to the gateway %s has failed.", gateway.id)
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
