"""Run workers in tests, and decide the approvals that they finalize."""

import asyncio
import os
import signal
from collections.abc import Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
from sqlalchemy import func, select

import worker.main
from core.config.settings import Settings
from models import (
    Approval,
    ApprovalStatus,
    Event,
)
from services import approvals
from tests.support.preloaded_product import PRODUCT, ForkedProcess
from tests.support.secret_key import SECRET_KEY
from worker.periodic import WorkerIntervals

TIMEOUT = 60  # seconds

APPROVED = ApprovalStatus.APPROVED


FAST = WorkerIntervals(finalization=1, offline=1, purge=2, message_expiry=2)


NOTIFIED_ONLY = WorkerIntervals(finalization=59, offline=59)
"""Hardly anything happens but what a notification or a due time brings about."""


@asynccontextmanager
async def running_worker(settings, *, intervals=FAST):
    stop = asyncio.Event()
    work = asyncio.create_task(worker.main.run(settings, stop, intervals=intervals))
    try:
        yield work
    finally:
        stop.set()
        await asyncio.wait_for(work, 20)


async def until(is_true, *, seconds=60.0):
    """Wait until a condition is true, and fail if that takes too long."""
    async with asyncio.timeout(seconds):
        while not await is_true():
            await asyncio.sleep(0.02)


async def request_approvals(transaction, world, count=1, **fields):
    """Create pending approvals on the board Launch, and return their ids."""
    async with transaction() as session:
        world.board = await session.merge(world.board)
        requested = [world.make_approval(**fields)[0] for _ in range(count)]
        session.add_all(requested)
    return [approval.id for approval in requested]


async def approve(transaction, world, approval_id, undo_seconds=0.3):
    async with transaction() as session:
        await approvals.decide_with_undo(
            session, world.alice, approval_id, status=APPROVED, undo_seconds=undo_seconds
        )


def are_approved(transaction, *ids):
    async def all_are():
        async with transaction() as session:
            query = select(Approval.id).where(Approval.id.in_(ids), Approval.status == APPROVED)
            return set(await session.scalars(query)) == set(ids)

    return all_are


async def count_events(transaction, type):
    async with transaction() as session:
        return await session.scalar(select(func.count()).where(Event.type == type))


@contextmanager
def worker_process(settings: Settings, data: Path) -> Generator[ForkedProcess]:
    """Run a worker in a process of its own, and kill it with SIGKILL at the end."""
    environment = {
        "DATABASE_URL": settings.database_url,
        "SECRET_KEY": SECRET_KEY,
        "OUTBOUND_ALLOW_PRIVATE": "127.0.0.0/8",
        "LOG_LEVEL": "WARNING",
    }
    with open(os.devnull, "w") as nothing:
        process = PRODUCT.run(["worker", "--data", str(data)], environment, nothing)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(TIMEOUT)
        process.stdout.close()


def logs(caplog, words):
    async def it_does():
        return any(words in record.getMessage() for record in caplog.records)

    return it_does


def is_listening(settings):
    """Return whether a worker listens for notifications."""

    async def it_is():
        connection = await asyncpg.connect(settings.dsn)
        query = "select count(*) from pg_stat_activity where query ilike 'listen%'"
        count = await connection.fetchval(query + " and datname = current_database()")
        await connection.close()
        return count > 0

    return it_is
