"""Run workers in tests, and decide the approvals that they finalize."""

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from sqlalchemy import func, select

import worker.main
from models import (
    Approval,
    ApprovalStatus,
    Event,
)
from services import approvals
from worker.periodic import WorkerIntervals

ROOT = Path(__file__).parent.parent.parent


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
            await asyncio.sleep(0.05)


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


async def start_worker_process(settings):
    """Start a worker in a process of its own, which waits for notifications."""
    program = (
        "import asyncio, sys, worker.main\n"
        "from core.config.settings import Settings\n"
        "intervals = worker.main.WorkerIntervals(finalization=59, offline=59)\n"
        "settings = Settings(database_url=sys.argv[1])\n"
        "asyncio.run(worker.main.run(settings, asyncio.Event(), intervals=intervals))\n"
    )
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, settings.database_url, cwd=ROOT
    )


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
