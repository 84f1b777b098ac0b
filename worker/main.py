"""The worker: runs the periodic tasks, and keeps the connections to gateways.

It runs inside the server's process or in a process of its own, and there may be several. Each task
reads from the database what is due, so it may run twice or late, and nothing is lost.
docs/decisions/jobs.md gives the reasons.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy.ext.asyncio import async_sessionmaker

import services.subscriptions  # noqa: F401 - sets the handlers of hooks
from core.config.settings import Settings
from core.db.engine import MAX_WORKER_IDLE, ReadPool, create_database_engine
from core.db.listen import PostgresListener
from core.security.encryption import SecretCipher
from services import messages, secret_keys, skills
from services.channels import ChannelSender
from services.gateways import GatewayConnector, GatewayJob, requests, runs
from services.gateways.provisioning import Reconciler
from services.webhook_endpoints import WebhookDeliveryWorker
from worker.gateway_supervisor import GatewaySupervisor, LeaseTerm
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
    awaited. The caller handles signals. Raises an ExceptionGroup if a part of the worker has ended
    too early, because the others do not replace it.
    """
    engine = create_database_engine(settings, size=2, max_idle=MAX_WORKER_IDLE)
    read_pool = ReadPool(settings.dsn, size=2, is_pooled=settings.is_pooled)
    open_read = read_pool.acquire
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    listener = PostgresListener()
    tasks = PeriodicTasks(settings, transaction, open_read)
    cipher = SecretCipher(settings)
    sender = None
    if render is not None:
        channel_sender = ChannelSender(settings, cipher)
        sender = NotificationSender(transaction, open_read, cipher, channel_sender, render)
    sendings = [sender.schedule(intervals.notifications)] if sender else []
    scheduler = Scheduler([*tasks.schedule(intervals), *sendings], listener)
    connector = GatewayConnector.from_settings(settings, cipher)
    term = LeaseTerm()
    fenced = term.fence(transaction)
    jobs: Sequence[GatewayJob] = [  # for each gateway, over its leased connection
        Reconciler(fenced, open_read, listener, cipher, settings.base_url),
        messages.create_delivery_job(fenced, open_read, listener),
        requests.RequestSyncJob(fenced, open_read, listener),
        runs.RunTrackingJob(fenced, open_read),
        runs.RunAbortJob(open_read, listener),
        skills.SkillConfirmationJob(fenced, open_read, listener),
    ]
    supervisor = GatewaySupervisor(
        connector, transaction, listener, jobs=jobs, interval=intervals.leases, term=term
    )
    webhooks = WebhookDeliveryWorker(settings, transaction, open_read, listener)
    name = secret_keys.build_application_name(cipher)
    stopping = asyncio.create_task(stop.wait())
    listening = asyncio.create_task(listener.listen(settings.direct_dsn, name))
    ending = asyncio.Event()  # because of `stop`, or because a part has ended
    working = {asyncio.create_task(one.run(ending)) for one in (scheduler, supervisor, webhooks)}
    parts = {listening, *working}
    try:
        await asyncio.wait({stopping, *parts}, return_when=asyncio.FIRST_COMPLETED)
        failed = [] if stop.is_set() else [task for task in parts if task.done()]
        ending.set()
        await asyncio.wait(working, timeout=STOP_TIMEOUT)
    finally:
        for task in (stopping, *parts):
            task.cancel()
        await asyncio.wait({stopping, *parts}, timeout=CANCEL_TIMEOUT)
        if sender:
            await sender.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_TIMEOUT):
                try:
                    await engine.dispose()
                finally:
                    await read_pool.close()
    if failed:
        raise ExceptionGroup("parts of the worker have ended", [*map(_find_error, failed)])


def _find_error(task: asyncio.Task[None]) -> Exception:
    """Return the error of a task that should not have ended."""
    error = None if task.cancelled() else task.exception()
    return error if isinstance(error, Exception) else RuntimeError(f"{task!r} has ended")
