"""The worker: runs the periodic tasks, and keeps the connections to gateways.

It runs inside the server's process or in a process of its own, and there may be several. Each task
reads from the database what is due, so it may run twice or late, and nothing is lost.
docs/decisions/jobs.md gives the reasons.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

import services.subscriptions  # noqa: F401 - sets the handlers of hooks
from core.config.settings import Settings
from core.db.engine import ReadPool, TransactionFactory, create_database_engine
from core.db.listen import PostgresListener
from core.db.reads import ReadFactory
from core.security.encryption import SecretCipher
from services import messages, secret_keys, skills
from services.channels import ChannelSender
from services.gateways import GatewayConnector, GatewayJob, requests, runs
from services.gateways.provisioning import Reconciler
from services.webhook_endpoints import WebhookDeliveryWorker
from worker.gateway_supervisor import GatewaySupervisor
from worker.notification_sender import NotificationSender, Renderer
from worker.periodic import DEFAULT_INTERVALS, PeriodicTasks, WorkerIntervals
from worker.scheduler import Scheduler

STOP_TIMEOUT = 1.2  # seconds for what is running when the worker is to stop
CANCEL_TIMEOUT = 0.25  # seconds for what is cancelled, and for closing the connections


async def run(
    settings: Settings,
    stop: asyncio.Event,
    *,
    intervals: WorkerIntervals = DEFAULT_INTERVALS,
    render: Renderer | None = None,
) -> None:
    """Work until `stop` is set, and at most two seconds longer.

    Notifications are sent if there is a function that renders them. A database that is away is
    awaited. The caller handles signals.
    """
    engine = create_database_engine(settings, size=2)
    read_pool = ReadPool(settings.dsn, size=2)
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    listener = PostgresListener()
    tasks = PeriodicTasks(settings, transaction, read_pool.acquire)
    cipher = SecretCipher(settings)
    sender = None
    if render is not None:
        channel_sender = ChannelSender(settings, cipher)
        sender = NotificationSender(transaction, read_pool.acquire, cipher, channel_sender, render)
    sendings = [sender.schedule(intervals.notifications)] if sender else []
    scheduler = Scheduler([*tasks.schedule(intervals), *sendings], listener)
    connector = GatewayConnector.from_settings(settings, cipher)
    jobs = create_gateway_jobs(settings, transaction, read_pool.acquire, listener)
    supervisor = GatewaySupervisor(connector, transaction, jobs=jobs, interval=intervals.leases)
    webhooks = WebhookDeliveryWorker(settings, transaction, read_pool.acquire, listener)
    name = secret_keys.build_application_name(cipher)
    listening = asyncio.create_task(listener.listen(settings.dsn, name))
    working = {asyncio.create_task(one.run(stop)) for one in (scheduler, supervisor, webhooks)}
    try:
        await stop.wait()
        await asyncio.wait(working, timeout=STOP_TIMEOUT)
    finally:
        for task in (*working, listening):
            task.cancel()
        await asyncio.wait({*working, listening}, timeout=CANCEL_TIMEOUT)
        if sender:
            await sender.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(close_connections(engine, read_pool), CANCEL_TIMEOUT)


async def close_connections(engine: AsyncEngine, read_pool: ReadPool) -> None:
    """Close all connections of the worker."""
    try:
        await engine.dispose()
    finally:
        await read_pool.close()


def create_gateway_jobs(
    settings: Settings,
    transaction: TransactionFactory,
    open_read: ReadFactory,
    listener: PostgresListener,
) -> Sequence[GatewayJob]:
    """Return the jobs that run for each gateway over its leased connection."""
    cipher = SecretCipher(settings)
    return [
        Reconciler(transaction, open_read, listener, cipher, settings.base_url),
        messages.create_delivery_job(transaction, open_read, listener),
        requests.RequestSyncJob(transaction, open_read, listener),
        runs.RunTrackingJob(transaction, open_read),
        runs.RunAbortJob(open_read, listener),
        skills.SkillConfirmationJob(transaction, open_read, listener),
    ]
