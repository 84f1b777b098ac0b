"""The worker, with real commits, several workers, and a database that goes away."""

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import worker.main
from core.clock import now
from core.db.listen import PostgresListener
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    DeletedTask,
    Event,
    EventType,
    Message,
    SignIn,
)
from services import approvals, messages
from tests.support.cuttable_proxy import run_cuttable_proxy
from tests.support.world import make_sign_in
from worker.periodic import PeriodicTask, Scheduler, WorkerIntervals, is_connection_lost

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
        await asyncio.wait_for(work, 2)


async def until(is_true, *, seconds=15.0):
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


@asynccontextmanager
async def listening_for_decisions(settings):
    """Give an event that is set when an approval has been decided."""
    listener = PostgresListener()
    listening = asyncio.create_task(listener.listen(settings.dsn))
    try:
        with listener.subscribe(approvals.DECISIONS_TOPIC) as notified:
            await asyncio.wait_for(listener.connected.wait(), 5)
            notified.clear()
            yield notified
    finally:
        listening.cancel()
        await asyncio.wait({listening})


async def test_a_decision_wakes_the_workers_only_if_it_is_committed(
    isolated_settings, isolated_transaction, isolated_world
) -> None:
    """A27.6, W-42."""
    [id] = await request_approvals(isolated_transaction, isolated_world)
    async with listening_for_decisions(isolated_settings) as notified:
        async with isolated_transaction() as session:
            await approvals.decide_with_undo(
                session, isolated_world.alice, id, status=APPROVED, undo_seconds=5
            )
            assert await approvals.find_next_finalization(session) is not None
            await session.rollback()
        async with isolated_transaction() as session:
            assert await approvals.find_next_finalization(session) is None
        assert not notified.is_set()
        await approve(isolated_transaction, isolated_world, id, undo_seconds=5)
        await asyncio.wait_for(notified.wait(), 5)
    async with isolated_transaction() as session:
        assert await approvals.find_next_finalization(session) is not None


async def test_the_next_finalization_is_that_of_the_earliest_decision(
    isolated_transaction, isolated_world
) -> None:
    first, second, third, _ = await request_approvals(isolated_transaction, isolated_world, count=4)
    async with isolated_transaction() as session:
        await session.execute(text("select pg_sleep(0.3)"))
        await approvals.decide_with_undo(
            session, isolated_world.alice, first, status=APPROVED, undo_seconds=5
        )
        expected = (await session.get_one(Approval, first)).finalizes_at
        assert abs(expected - now() - timedelta(seconds=5)) < timedelta(milliseconds=150)
    await approve(isolated_transaction, isolated_world, second, undo_seconds=60)
    await approve(isolated_transaction, isolated_world, third, undo_seconds=0)
    async with isolated_transaction() as session:
        assert await approvals.find_next_finalization(session) == expected


async def test_removing_the_job_queue_loses_no_pending_finalization(
    isolated_settings, isolated_transaction, isolated_world
) -> None:
    """The job of the former queue only named a board; the approval itself says what is due."""
    [id] = await request_approvals(isolated_transaction, isolated_world)
    await approve(isolated_transaction, isolated_world, id, undo_seconds=0.1)
    queued = (
        "insert into pgqueuer (priority, status, entrypoint, payload)"
        " values (0, 'queued', 'settle_approvals', '{}')"
    )
    await migrate(isolated_settings.sqlalchemy_url, command.downgrade, "0023")
    async with isolated_transaction() as session:
        await session.execute(text(queued))
    await migrate(isolated_settings.sqlalchemy_url, command.upgrade, "head")
    async with isolated_transaction() as session:
        left = "select count(*) from pg_class where relname like '%pgqueuer%'"
        assert await session.scalar(text(left)) == 0
        left = "select count(*) from pg_proc where proname like '%pgqueuer%'"
        assert await session.scalar(text(left)) == 0
        left = "select count(*) from pg_type where typname like '%pgqueuer%'"
        assert await session.scalar(text(left)) == 0
    async with running_worker(isolated_settings, intervals=NOTIFIED_ONLY):
        await until(are_approved(isolated_transaction, id), seconds=5)


async def migrate(url, run, revision):
    engine = create_async_engine(url, poolclass=NullPool)
    config = Config(toml_file=ROOT / "pyproject.toml")

    def run_with(connection):
        config.attributes["connection"] = connection
        run(config, revision)

    async with engine.begin() as connection:
        await connection.run_sync(run_with)
    await engine.dispose()


async def test_a_decision_is_finalized_when_its_undo_time_is_over(
    isolated_settings, isolated_transaction, isolated_world
) -> None:
    [id] = await request_approvals(isolated_transaction, isolated_world)
    async with running_worker(isolated_settings, intervals=NOTIFIED_ONLY):
        await approve(isolated_transaction, isolated_world, id)
        async with isolated_transaction() as session:
            approval = await session.get_one(Approval, id)
        assert approval.status is ApprovalStatus.PENDING
        due_at = approval.finalizes_at
        await until(are_approved(isolated_transaction, id), seconds=5)
    async with isolated_transaction() as session:
        approval = await session.get_one(Approval, id)
        assert approval.resolved_at >= due_at


async def test_a_worker_that_starts_does_what_became_due_before(
    isolated_settings, isolated_transaction, isolated_world
) -> None:
    """A27.6. Nothing depends on a notification alone."""
    silent = isolated_world.worker.id
    [id] = await request_approvals(isolated_transaction, isolated_world)
    async with isolated_transaction() as session:
        await session.execute(
            update(Approval)
            .where(Approval.id == id)
            .values(decided_status=APPROVED, finalizes_at=now(), decided_at=now())
        )
        long_ago = now() - timedelta(hours=1)
        await session.execute(update(Agent).where(Agent.id == silent).values(last_seen_at=long_ago))

    async def is_offline():
        async with isolated_transaction() as session:
            return (await session.get_one(Agent, silent)).status == "offline"

    async with running_worker(isolated_settings, intervals=NOTIFIED_ONLY):
        await until(are_approved(isolated_transaction, id), seconds=5)
        await until(is_offline, seconds=5)
    assert await count_events(isolated_transaction, EventType.AGENT_STATUS_CHANGED) == 1


async def test_a_silent_agent_becomes_offline(
    isolated_settings, isolated_transaction, isolated_world
) -> None:
    isolated_settings = isolated_settings.model_copy(update={"agent_offline_after": 1.5})

    async def is_offline():
        async with isolated_transaction() as session:
            return (await session.get_one(Agent, isolated_world.worker.id)).status == "offline"

    async with isolated_transaction() as session:
        often = {"every": "200ms"}
        await session.execute(update(Agent).values(last_seen_at=now(), heartbeat_config=often))
    async with running_worker(isolated_settings):
        assert not await is_offline()
        await until(is_offline, seconds=8)
    assert await count_events(isolated_transaction, EventType.AGENT_STATUS_CHANGED) == 5


async def test_expired_rows_are_deleted(
    isolated_settings, isolated_transaction, isolated_world
) -> None:
    async with isolated_transaction() as session:
        old = now() - timedelta(days=2)
        board = await session.merge(isolated_world.board)
        session.add(DeletedTask(board_id=board.id, task_id=board.id, rows={}, deleted_at=old))
        over = make_sign_in(await session.merge(isolated_world.bob))
        over.secret_hash, over.expires_at = "over", old
        session.add(over)

    async def are_deleted():
        async with isolated_transaction() as session:
            stored = [
                await session.scalar(select(func.count()).select_from(DeletedTask)),
                await session.scalar(select(func.count()).where(SignIn.secret_hash == "over")),
            ]
            return stored == [0, 0]

    async with running_worker(isolated_settings):
        await until(are_deleted)
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(SignIn)) == 5


async def test_a_message_that_is_never_fetched_fails(
    isolated_settings, isolated_transaction, isolated_world
) -> None:
    async with isolated_transaction() as session:
        draft = messages.OutgoingMessage(
            to=isolated_world.worker, content="BOARD CHAT\nAre you there?"
        )
        await messages.enqueue_messages(session, [draft])
        await session.execute(
            update(Message).values(waiting_since=now() - messages.DELIVERY_TIMEOUT)
        )

    async def has_failed():
        return await count_events(isolated_transaction, EventType.MESSAGE_FAILED) == 1

    async with running_worker(isolated_settings):
        await until(has_failed)


async def test_two_workers_finalize_each_decision_once(
    isolated_settings, isolated_transaction, isolated_world
) -> None:
    ids = await request_approvals(isolated_transaction, isolated_world, count=40)
    async with running_worker(isolated_settings), running_worker(isolated_settings):
        for id in ids:
            await approve(isolated_transaction, isolated_world, id, undo_seconds=0.05)
        await until(are_approved(isolated_transaction, *ids))
    assert await count_events(isolated_transaction, EventType.APPROVAL_APPROVED) == 40


async def test_the_work_of_a_killed_worker_is_done_by_the_next(
    isolated_settings, isolated_transaction, isolated_world
) -> None:
    """W-42. The first worker is killed in its transaction, while it waits to record the event."""
    [id] = await request_approvals(isolated_transaction, isolated_world)
    process = await start_worker_process(isolated_settings)
    await until(is_listening(isolated_settings))
    await approve(isolated_transaction, isolated_world, id, undo_seconds=1)

    async def is_waiting_for_a_lock():
        async with isolated_transaction() as session:
            waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            return await session.scalar(text(waits + " and datname = current_database()")) > 0

    async with isolated_transaction() as session:
        key = func.hashtextextended(str(isolated_world.tern.id), 0)
        await session.execute(select(func.pg_advisory_xact_lock(key)))
        await until(is_waiting_for_a_lock)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert not await are_approved(isolated_transaction, id)()

    async with running_worker(isolated_settings):
        await until(are_approved(isolated_transaction, id))
    assert await count_events(isolated_transaction, EventType.APPROVAL_APPROVED) == 1


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


async def test_a_board_that_cannot_be_finalized_does_not_stop_the_others(
    isolated_settings, isolated_transaction, isolated_world, caplog, monkeypatch
) -> None:
    """W-42. The failure is logged, and tried again."""
    world = isolated_world
    first, second = await request_approvals(isolated_transaction, world, count=2)
    async with isolated_transaction() as session:
        moved = update(Approval).where(Approval.id == second)
        await session.execute(moved.values(board_id=world.garden.id))
    broken_id = min(world.board.id, world.garden.id)
    finalize, attempts = approvals.finalize_due_approvals, []

    async def finalize_or_fail(session, *, board_id=None, **options):
        if board_id == broken_id and len(attempts) < 2:
            attempts.append(board_id)
            raise ValueError("badly formed")
        return await finalize(session, board_id=board_id, **options)

    monkeypatch.setattr(approvals, "finalize_due_approvals", finalize_or_fail)
    async with running_worker(isolated_settings, intervals=NOTIFIED_ONLY):
        await approve(isolated_transaction, world, first, undo_seconds=0.1)
        await approve(isolated_transaction, world, second, undo_seconds=0.1)
        await until(are_approved(isolated_transaction, first, second))
    failures = [one for one in caplog.records if "badly formed" in str(one.exc_info)]
    assert len(failures) == 2


async def test_a_task_that_fails_is_logged_and_repeated(caplog) -> None:
    """W-42. The other tasks are not affected."""
    stop, runs = asyncio.Event(), {"broken": 0, "working": 0}

    async def fail():
        runs["broken"] += 1
        raise ValueError("badly formed")

    async def work():
        runs["working"] += 1
        if min(runs.values()) >= 3:
            stop.set()

    tasks = [PeriodicTask("broken", 0.01, fail), PeriodicTask("working", 0.01, work)]
    await asyncio.wait_for(Scheduler(tasks, PostgresListener()).run(stop), 5)
    failures = [one for one in caplog.records if "badly formed" in str(one.exc_info)]
    assert len(failures) == runs["broken"] >= 3


async def test_a_task_that_is_cancelled_from_inside_runs_again(caplog) -> None:
    stop = asyncio.Event()
    runs = 0

    async def leak_cancellation() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            stop.set()
        raise asyncio.CancelledError

    scheduler = Scheduler([PeriodicTask("leaky", 0.01, leak_cancellation)], PostgresListener())
    await asyncio.wait_for(scheduler.run(stop), 5)
    assert runs == 3
    assert [one.getMessage() for one in caplog.records if "leaky" in one.getMessage()]


async def test_a_cancelled_statement_is_no_outage(session) -> None:
    async def exceed_the_time_limit() -> None:
        async with session.begin_nested():
            await session.execute(text("set local statement_timeout = '20ms'"))
            await session.execute(text("select pg_sleep(10)"))

    with pytest.raises(DBAPIError) as caught:
        await exceed_the_time_limit()
    assert not is_connection_lost(caught.value)


async def test_a_board_that_stays_locked_does_not_stop_the_others(
    isolated_settings, isolated_transaction, isolated_world, monkeypatch
) -> None:
    monkeypatch.setattr("worker.periodic._SET_LOCK_TIMEOUT", text("set local lock_timeout = '60s'"))
    world = isolated_world
    [here] = await request_approvals(isolated_transaction, world)
    [existing] = await request_approvals(isolated_transaction, world)
    async with isolated_transaction() as session:
        due = {"decided_status": APPROVED, "finalizes_at": now(), "decided_at": now()}
        await session.execute(update(Approval).values(**due))
        moved = update(Approval).where(Approval.id == existing)
        await session.execute(moved.values(board_id=world.garden.id))
    async with isolated_transaction() as session:
        first = min(world.board.id, world.garden.id)
        await session.execute(select(Board).where(Board.id == first).with_for_update())
        async with running_worker(isolated_settings):
            other = existing if first == world.board.id else here
            await until(are_approved(isolated_transaction, other))
    async with running_worker(isolated_settings):
        await until(are_approved(isolated_transaction, here, existing))


async def test_a_worker_continues_when_the_database_is_back(
    isolated_settings, isolated_transaction, isolated_world, caplog
) -> None:
    first, second = await request_approvals(isolated_transaction, isolated_world, count=2)
    async with run_cuttable_proxy(isolated_settings) as line, running_worker(line.settings) as work:
        await approve(isolated_transaction, isolated_world, first, undo_seconds=0.1)
        await until(are_approved(isolated_transaction, first))
        line.cut()
        await until(logs(caplog, "has lost the database"))
        await asyncio.sleep(2.5)  # several attempts to reach it again
        await approve(isolated_transaction, isolated_world, second, undo_seconds=0.1)
        assert not work.done()
        await line.restore()
        await until(are_approved(isolated_transaction, second))
    assert await count_events(isolated_transaction, EventType.APPROVAL_APPROVED) == 2
    assert [one for one in caplog.records if one.exc_info] == []
    outages = [one for one in caplog.records if "the database:" in one.getMessage()]
    assert len([one for one in outages if one.name == "worker.periodic"]) == 1


async def test_a_worker_stops_within_two_seconds_with_or_without_a_database(
    isolated_settings, caplog
) -> None:
    async with running_worker(isolated_settings):
        await asyncio.sleep(0)  # it may be anywhere
    async with run_cuttable_proxy(isolated_settings) as line:
        async with running_worker(line.settings):
            await until(is_listening(isolated_settings))
        async with running_worker(line.settings):
            await until(is_listening(isolated_settings))
            line.cut()
            await until(logs(caplog, "the database"))


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
