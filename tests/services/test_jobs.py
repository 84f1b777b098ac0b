"""The queue and its worker: with real commits, real workers, and a database that goes away."""

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg
from pgqueuer.queries import Queries
from sqlalchemy import func, select, text, update

import worker
from kit.clock import now
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    Event,
    EventType,
    Message,
    SignIn,
    Trash,
)
from services import approvals, jobs, messages
from services.jobs import Job, enqueue
from tests.line import a_line
from tests.world import a_sign_in

ROOT = Path(__file__).parent.parent.parent
APPROVED = ApprovalStatus.APPROVED

QUICK = worker.Pace(settle=1, offline=1, purge=2, give_up=2, poll=0.5, lost=1.0)
ON_CALL = worker.Pace(settle=59, offline=59, poll=0.5, lost=1.0)
"""Does what is queued, and hardly anything else."""


@asynccontextmanager
async def working(settings, *, pace=QUICK):
    stop = asyncio.Event()
    work = asyncio.create_task(worker.run(settings, stop, pace=pace))
    try:
        yield work
    finally:
        stop.set()
        await asyncio.wait_for(work, 2)


async def until(is_true, *, seconds=15.0):
    """Wait until something becomes true. It has to, before long."""
    async with asyncio.timeout(seconds):
        while not await is_true():
            await asyncio.sleep(0.02)


async def ask(transaction, world, count=1, **fields):
    """Put questions on Launch, and return their ids."""
    async with transaction() as session:
        world.board = await session.merge(world.board)
        asked = [world.approval(**fields)[0] for _ in range(count)]
        session.add_all(asked)
    return [approval.id for approval in asked]


async def answer(transaction, world, approval_id, undo_seconds=0.3):
    async with transaction() as session:
        await approvals.answer(
            session, world.alice, approval_id, status=APPROVED, undo_seconds=undo_seconds
        )


def settled(transaction, *ids):
    async def all_are():
        async with transaction() as session:
            done = select(Approval.id).where(Approval.id.in_(ids), Approval.status == APPROVED)
            return set(await session.scalars(done)) == set(ids)

    return all_are


def queue_is_empty(transaction):
    async def is_empty():
        async with transaction() as session:
            return await session.scalar(text("select count(*) from pgqueuer")) == 0

    return is_empty


async def times_told(transaction, type):
    async with transaction() as session:
        return await session.scalar(select(func.count()).where(Event.type == type))


async def queued(session):
    return list(await session.scalars(text("select entrypoint from pgqueuer order by id")))


async def test_a_job_is_queued_with_the_change_or_not_at_all(real_transaction) -> None:
    """A27.6."""
    async with real_transaction() as session:
        await enqueue(session, Job.SETTLE_APPROVALS, {"board_id": "none"})
        assert await queued(session) == ["settle_approvals"]
        await session.rollback()
    async with real_transaction() as session:
        assert await queued(session) == []
        await enqueue(session, Job.SETTLE_APPROVALS)
    async with real_transaction() as session:
        assert await queued(session) == ["settle_approvals"]


async def test_a_job_for_later_is_due_then_however_long_the_transaction_took(
    real_transaction,
) -> None:
    async with real_transaction() as session:
        await session.execute(text("select pg_sleep(0.3)"))
        at = now() + timedelta(seconds=5)
        await enqueue(session, Job.SETTLE_APPROVALS, at=at)
    async with real_transaction() as session:
        due = await session.scalar(text("select execute_after from pgqueuer"))
    assert abs(due - at) < timedelta(milliseconds=50)


async def test_the_migration_makes_what_the_library_wants(own_settings) -> None:
    connection = await asyncpg.connect(own_settings.dsn)
    plan = await Queries.from_asyncpg_connection(connection).plan_upgrade()
    await connection.close()
    assert list(plan.statements) == []


async def test_an_answer_settles_by_its_job_when_its_time_has_come(
    own_settings, real_transaction, real_world
) -> None:
    [id] = await ask(real_transaction, real_world)
    async with working(own_settings, pace=ON_CALL):
        await answer(real_transaction, real_world, id)
        assert not await settled(real_transaction, id)()
        await until(settled(real_transaction, id), seconds=5)
        await until(queue_is_empty(real_transaction))
    async with real_transaction() as session:
        approval = await session.get_one(Approval, id)
        late = approval.resolved_at - approval.decided_at
        assert timedelta(seconds=0.3) <= late < timedelta(seconds=2)


async def test_what_was_missed_while_no_worker_was_there_is_made_up_for(
    own_settings, real_transaction, real_world
) -> None:
    """A27.6. Nothing depends on the queue alone."""
    silent = real_world.worker.id
    [id] = await ask(real_transaction, real_world)
    async with real_transaction() as session:
        await session.execute(
            update(Approval)
            .where(Approval.id == id)
            .values(decided_status=APPROVED, settles_at=now(), decided_at=now())
        )
        long_ago = now() - timedelta(hours=1)
        await session.execute(update(Agent).where(Agent.id == silent).values(last_seen_at=long_ago))

    async def is_offline():
        async with real_transaction() as session:
            return (await session.get_one(Agent, silent)).status == "offline"

    async with working(own_settings, pace=ON_CALL):
        await until(settled(real_transaction, id), seconds=5)
        await until(is_offline, seconds=5)
    assert await times_told(real_transaction, EventType.AGENT_STATUS_CHANGED) == 1


async def test_an_agent_that_falls_silent_is_soon_offline(
    own_settings, real_transaction, real_world
) -> None:
    own_settings = own_settings.model_copy(update={"agent_offline_after": 1.5})

    async def is_offline():
        async with real_transaction() as session:
            return (await session.get_one(Agent, real_world.worker.id)).status == "offline"

    async with real_transaction() as session:
        often = {"every": "200ms"}
        await session.execute(update(Agent).values(last_seen_at=now(), heartbeat_config=often))
    async with working(own_settings):
        assert not await is_offline()
        await until(is_offline, seconds=8)
    assert await times_told(real_transaction, EventType.AGENT_STATUS_CHANGED) == 5


async def test_what_nobody_can_want_any_more_is_forgotten(
    own_settings, real_transaction, real_world
) -> None:
    async with real_transaction() as session:
        old = now() - timedelta(days=2)
        board = await session.merge(real_world.board)
        session.add(Trash(board_id=board.id, task_id=board.id, rows={}, deleted_at=old))
        over = a_sign_in(await session.merge(real_world.bob))
        over.secret_hash, over.expires_at = "over", old
        session.add(over)
        await enqueue(session, Job.SETTLE_APPROVALS)
        await session.execute(text("update pgqueuer_log set created = now() - interval '2 days'"))
        await session.execute(text("delete from pgqueuer"))

    async def is_forgotten():
        async with real_transaction() as session:
            kept = [
                await session.scalar(select(func.count()).select_from(Trash)),
                await session.scalar(select(func.count()).where(SignIn.secret_hash == "over")),
                await session.scalar(text("select count(*) from pgqueuer_log")),
            ]
            return kept == [0, 0, 0]

    async with working(own_settings):
        await until(is_forgotten)
    async with real_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(SignIn)) == 5


async def test_a_message_that_nobody_fetches_fails_in_the_end(
    own_settings, real_transaction, real_world
) -> None:
    async with real_transaction() as session:
        draft = messages.Draft(to=real_world.worker, content="BOARD CHAT\nAre you there?")
        await messages.queue(session, [draft])
        await session.execute(update(Message).values(next_try_at=now() - messages.PATIENCE))

    async def has_failed():
        return await times_told(real_transaction, EventType.MESSAGE_FAILED) == 1

    async with working(own_settings):
        await until(has_failed)


async def test_two_workers_settle_each_answer_once(
    own_settings, real_transaction, real_world
) -> None:
    ids = await ask(real_transaction, real_world, count=40)
    async with working(own_settings), working(own_settings):
        for id in ids:
            await answer(real_transaction, real_world, id, undo_seconds=0.05)
        await until(settled(real_transaction, *ids))
        await until(queue_is_empty(real_transaction))
    assert await times_told(real_transaction, EventType.APPROVAL_APPROVED) == 40


async def test_the_job_of_a_worker_that_is_killed_is_done_by_the_next(
    own_settings, real_transaction, real_world
) -> None:
    """W-42. The first worker is killed while it waits for the board, in the middle of the job."""
    [id] = await ask(real_transaction, real_world)
    process = await another_worker(own_settings)
    await until(has_schedules(own_settings))
    await answer(real_transaction, real_world, id, undo_seconds=1)

    async def is_waiting_for_the_board():
        async with real_transaction() as session:
            waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            return await session.scalar(text(waits + " and datname = current_database()")) > 0

    async with real_transaction() as session:
        board = select(Board).where(Board.id == real_world.board.id)
        await session.execute(board.with_for_update())
        await until(is_waiting_for_the_board)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert not await settled(real_transaction, id)()
    async with real_transaction() as session:
        assert await session.scalar(text("select status::text from pgqueuer")) == "picked"

    async with working(own_settings):
        await until(settled(real_transaction, id))
        await until(queue_is_empty(real_transaction))
    assert await times_told(real_transaction, EventType.APPROVAL_APPROVED) == 1


async def another_worker(settings):
    """Start a worker in a process of its own, which does what is queued and nothing else."""
    program = (
        "import asyncio, sys, worker\n"
        "from kit.settings import Settings\n"
        "pace = worker.Pace(settle=59, offline=59, poll=0.5, lost=1.0)\n"
        "settings = Settings(database_url=sys.argv[1])\n"
        "asyncio.run(worker.run(settings, asyncio.Event(), pace=pace))\n"
    )
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, settings.database_url, cwd=ROOT
    )


async def test_a_job_that_cannot_be_done_is_tried_once_and_put_away(
    own_settings, real_transaction, real_world, caplog
) -> None:
    """W-42."""
    async with real_transaction() as session:
        await enqueue(session, Job.SETTLE_APPROVALS, {"board_id": "no id"})
    [id] = await ask(real_transaction, real_world)
    async with working(own_settings, pace=ON_CALL):
        await answer(real_transaction, real_world, id)
        await until(settled(real_transaction, id))
        await until(queue_is_empty(real_transaction))
    failures = [one for one in caplog.records if "badly formed" in str(one.exc_info)]
    assert len(failures) == 1
    async with real_transaction() as session:
        kept = text("select count(*) from pgqueuer_log where status = 'exception'")
        assert await session.scalar(kept) == 1


async def test_a_board_that_is_held_for_long_does_not_hold_up_the_others(
    own_settings, real_transaction, real_world
) -> None:
    world = real_world
    [here] = await ask(real_transaction, world)
    [there] = await ask(real_transaction, world)
    async with real_transaction() as session:
        due = {"decided_status": APPROVED, "settles_at": now(), "decided_at": now()}
        await session.execute(update(Approval).values(**due))
        moved = update(Approval).where(Approval.id == there)
        await session.execute(moved.values(board_id=world.garden.id))
    async with real_transaction() as session:
        first = min(world.board.id, world.garden.id)
        await session.execute(select(Board).where(Board.id == first).with_for_update())
        async with working(own_settings):
            other = there if first == world.board.id else here
            await until(settled(real_transaction, other))
    async with working(own_settings):
        await until(settled(real_transaction, here, there))


async def test_a_worker_comes_back_when_the_database_does(
    own_settings, real_transaction, real_world, caplog
) -> None:
    first, second = await ask(real_transaction, real_world, count=2)
    async with a_line(own_settings) as line, working(line.settings) as work:
        await answer(real_transaction, real_world, first, undo_seconds=0.1)
        await until(settled(real_transaction, first))
        line.cut()
        await until(says(caplog, "lost the database"))
        await until(says(caplog, "cannot reach the database"))
        await answer(real_transaction, real_world, second, undo_seconds=0.1)
        assert not work.done()
        await line.mend()
        await until(settled(real_transaction, second))
        await until(queue_is_empty(real_transaction))
    assert await times_told(real_transaction, EventType.APPROVAL_APPROVED) == 2
    assert [one for one in caplog.records if one.exc_info] == []


async def test_a_worker_stops_within_two_seconds_with_or_without_a_database(
    own_settings, caplog
) -> None:
    async with working(own_settings):
        await asyncio.sleep(0)  # it may be anywhere
    async with a_line(own_settings) as line:
        async with working(line.settings):
            await until(has_schedules(own_settings))
        async with working(line.settings):
            await until(has_schedules(own_settings))
            line.cut()
            await until(says(caplog, "the database"))


def says(caplog, words):
    async def it_does():
        return any(words in record.getMessage() for record in caplog.records)

    return it_does


def has_schedules(settings):
    async def it_has():
        connection = await asyncpg.connect(settings.dsn)
        count = await connection.fetchval("select count(*) from pgqueuer_schedules")
        await connection.close()
        return count == 5

    return it_has


def test_the_queue_rings_where_the_worker_listens() -> None:
    """W-42."""
    migration = (ROOT / "migrations/versions/0002_jobs.py").read_text()
    assert f"'{jobs.CHANNEL}'" in migration
