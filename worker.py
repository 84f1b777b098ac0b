"""The worker: does what was queued, and looks after what time alone brings about.

It runs inside the server's process, or in one of its own, and there may be several. Every chore
looks for what is to be done and does it, so it may run twice, or late, and nothing is lost.
docs/decisions/jobs.md says why it is built like this.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.types import Channel
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from chores import LOST, Chores, is_lost
from holder import Holder
from kit.database import open_pool
from kit.doorbell import Doorbell
from kit.sealing import Seal
from kit.settings import Settings
from services import agent_files, gateway_requests, jobs, messages, runs
from services.gateways import Carrier, Station
from services.provisioning import Reconciler

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]

CONNECT_TIMEOUT = 10.0  # seconds
COMMAND_TIMEOUT = 30.0  # seconds for one statement of the queue's own
FIRST_REST = 0.25  # seconds before the database is tried again; each rest is twice as long
LONGEST_REST = 5.0  # seconds
TIME_TO_FINISH = 0.8  # seconds for the jobs that are running when the worker is to stop
TIME_TO_STOP = 1.3  # seconds for that, and for closing what is open
TIME_TO_GIVE_UP = 0.25  # seconds for what is broken off

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How often the worker looks, in seconds, if nothing rings."""

    settle: int = 5
    offline: int = 10
    purge: int = 600
    give_up: int = 600
    leave: int = 10
    hold: float = 5.0  # which gateways are free to be held
    poll: float = 5.0  # the queue itself
    lost: float = 10.0  # after which the job of a worker that has died is done by another


async def run(settings: Settings, stop: asyncio.Event, *, pace: Pace = Pace()) -> None:
    """Work until `stop` is set, and at most two seconds longer.

    A database that is away is awaited. Signals are somebody else's business.
    """
    engine = open_pool(settings, size=2)
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    chores = Chores(settings, transaction)
    doorbell = Doorbell()
    carrier = Carrier.of(settings, Seal(settings))
    stations = stations_for(settings, transaction, doorbell)
    holder = Holder(carrier, transaction, stations=stations, every=pace.hold)
    logging.getLogger("pgqueuer").addFilter(_is_our_fault)
    listening = asyncio.create_task(doorbell.listen(settings.dsn))
    working = asyncio.create_task(_keep_working(settings, chores, stop, pace))
    holding = asyncio.create_task(holder.run(stop))
    try:
        await stop.wait()
        await asyncio.wait({working, holding}, timeout=TIME_TO_STOP)
    finally:
        for task in (working, holding, listening):
            task.cancel()
        await asyncio.wait({working, holding, listening}, timeout=TIME_TO_GIVE_UP)
        with suppress(TimeoutError):
            await asyncio.wait_for(engine.dispose(), TIME_TO_GIVE_UP)


def stations_for(
    settings: Settings, transaction: Transaction, doorbell: Doorbell
) -> Sequence[Station]:
    """Return all that is done for the agents of a gateway, over the connection that is held."""
    library = agent_files.library(settings.base_url)
    return [
        Reconciler(transaction, doorbell, Seal(settings), library),
        messages.carrying(transaction, doorbell),
        gateway_requests.Station(transaction, doorbell),
        runs.Station(transaction),
    ]


async def _keep_working(
    settings: Settings, chores: Chores, stop: asyncio.Event, pace: Pace
) -> None:
    rest = FIRST_REST
    clock = asyncio.get_running_loop().time
    while not stop.is_set():
        began = clock()
        await _work_until_lost(settings, chores, stop, pace)
        rest = FIRST_REST if clock() - began > LONGEST_REST else min(2 * rest, LONGEST_REST)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), rest)


async def _work_until_lost(
    settings: Settings, chores: Chores, stop: asyncio.Event, pace: Pace
) -> None:
    """Work until `stop` is set or the database is lost."""
    try:
        pool = await _connect(settings)
    except (asyncpg.PostgresError, *LOST) as error:
        log.warning("The worker cannot reach the database: %r", error)
        return
    try:
        await chores.catch_up()
        await _serve(_queue(pool, chores, pace), stop, pace)
    except Exception as error:
        if is_lost(error):
            log.warning("The worker has lost the database: %r", error)
        else:
            log.exception("The worker has failed.")
    finally:
        await _close(pool)


async def _connect(settings: Settings) -> asyncpg.Pool:
    pool = await asyncpg.create_pool(
        settings.dsn,
        min_size=0,
        max_size=4,
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
    )
    async with pool.acquire():
        return pool


def _queue(pool: asyncpg.Pool, chores: Chores, pace: Pace) -> PgQueuer:
    queue = PgQueuer(AsyncpgPoolDriver(pool), channel=Channel(jobs.CHANNEL))
    queue.entrypoint(jobs.Job.SETTLE_APPROVALS)(chores.settle)
    for name, chore, seconds in (
        ("settle_sweep", chores.settle_all, pace.settle),
        ("agents_offline", chores.mark_offline, pace.offline),
        ("purge", chores.purge, pace.purge),
        ("messages", chores.give_up, pace.give_up),
        ("gateways_left", chores.leave_gateways, pace.leave),
    ):
        queue.schedule(name, _every(seconds), clean_old=True)(chore)
    return queue


def _every(seconds: int) -> str:
    """Return the cron expression, with seconds at its end, for a pace below an hour."""
    if seconds < 60:
        return f"* * * * * */{seconds}"
    return f"*/{seconds // 60} * * * * 0"


async def _serve(queue: PgQueuer, stop: asyncio.Event, pace: Pace) -> None:
    """Let the queue run until `stop` is set. Raises what ends it before."""
    running = asyncio.create_task(
        queue.run(
            dequeue_timeout=timedelta(seconds=pace.poll),
            heartbeat_timeout=timedelta(seconds=pace.lost),
            shutdown_on_listener_failure=True,
        )
    )
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        queue.shutdown.set()
        await asyncio.wait({running}, timeout=TIME_TO_FINISH)
    finally:
        stopping.cancel()
        running.cancel()
        await asyncio.wait({running}, timeout=TIME_TO_GIVE_UP)
    if running.done() and not running.cancelled() and not stop.is_set():
        running.result()


async def _close(pool: asyncpg.Pool) -> None:
    try:
        await asyncio.wait_for(pool.close(), TIME_TO_GIVE_UP)
    except LOST:
        pool.terminate()


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Keep out of the log what the queue says at length about a database that is away."""
    lost = record.exc_info and is_lost(record.exc_info[1])
    return record.levelno >= logging.ERROR and not lost
