"""The worker: runs the periodic tasks, and keeps the connections to gateways.

It runs inside the server's process or in a process of its own, and there may be several. Each task
reads from the database what is due, so it may run twice or late, and nothing is lost.
docs/decisions/jobs.md gives the reasons.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy.ext.asyncio import async_sessionmaker

from core.config.settings import Settings
from core.db.engine import TransactionFactory, create_database_engine
from core.db.listen import PostgresListener
from core.security.encryption import SecretCipher
from services import messages
from services.gateways import GatewayConnector, GatewayJob, files, requests, runs
from services.gateways.provisioning import Reconciler
from worker.gateway_supervisor import GatewaySupervisor
from worker.periodic import DEFAULT_INTERVALS, PeriodicTasks, Scheduler, WorkerIntervals

STOP_TIMEOUT = 1.2  # seconds for what is running when the worker is to stop
CANCEL_TIMEOUT = 0.25  # seconds for what is cancelled, and for closing the connections


async def run(
    settings: Settings, stop: asyncio.Event, *, intervals: WorkerIntervals = DEFAULT_INTERVALS
) -> None:
    """Work until `stop` is set, and at most two seconds longer.

    A database that is away is awaited. The caller handles signals.
    """
    engine = create_database_engine(settings, size=2)
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    listener = PostgresListener()
    scheduler = Scheduler(PeriodicTasks(settings, transaction).schedule(intervals), listener)
    connector = GatewayConnector.from_settings(settings, SecretCipher(settings))
    jobs = create_gateway_jobs(settings, transaction, listener)
    supervisor = GatewaySupervisor(connector, transaction, jobs=jobs, interval=intervals.leases)
    listening = asyncio.create_task(listener.listen(settings.dsn))
    working = {
        asyncio.create_task(scheduler.run(stop)),
        asyncio.create_task(supervisor.run(stop)),
    }
    try:
        await stop.wait()
        await asyncio.wait(working, timeout=STOP_TIMEOUT)
    finally:
        for task in (*working, listening):
            task.cancel()
        await asyncio.wait({*working, listening}, timeout=CANCEL_TIMEOUT)
        with suppress(TimeoutError):
            await asyncio.wait_for(engine.dispose(), CANCEL_TIMEOUT)


def create_gateway_jobs(
    settings: Settings, transaction: TransactionFactory, listener: PostgresListener
) -> Sequence[GatewayJob]:
    """Return the jobs that run for each gateway over its leased connection."""
    library = files.bundle_loader(settings.base_url)
    return [
        Reconciler(transaction, listener, SecretCipher(settings), library),
        messages.create_delivery_job(transaction, listener),
        requests.RequestSyncJob(transaction, listener),
        runs.RunTrackingJob(transaction),
        runs.RunAbortJob(transaction, listener),
    ]
