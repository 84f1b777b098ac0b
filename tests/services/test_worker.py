"""The worker: its scheduler and periodic tasks, and a database that goes away."""

import asyncio
from datetime import timedelta
from typing import cast

import pytest
from sqlalchemy import func, select, update

import worker.main
from core.clock import now
from core.db.listen import PostgresListener
from models import (
    Agent,
    Approval,
    DeletedTask,
    EventType,
    Message,
    SignIn,
)
from services import messages
from tests.support.cuttable_proxy import run_cuttable_proxy
from tests.support.people_rows import make_sign_in
from tests.support.worker_harness import (
    APPROVED,
    NOTIFIED_ONLY,
    approve,
    are_approved,
    count_events,
    is_listening,
    logs,
    request_approvals,
    running_worker,
    until,
)
from worker.periodic import WorkerIntervals
from worker.scheduler import PeriodicTask, Scheduler


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
            .values(
                decided_status=APPROVED,
                decided_by_user_id=isolated_world.alice.id,
                decided_at=now(),
                finalizes_at=now(),
            )
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
        old = now() - timedelta(days=31)
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


async def test_a_wrong_call_of_the_driver_is_logged_and_no_outage(session, caplog) -> None:
    stop = asyncio.Event()
    runs = 0

    async def send_too_many_parameters() -> None:
        nonlocal runs
        runs += 1
        if runs == 2:
            stop.set()
        await (await session.connection()).exec_driver_sql("select 1", (7,))

    tasks = [PeriodicTask("wrong", 0.01, send_too_many_parameters)]
    await asyncio.wait_for(Scheduler(tasks, PostgresListener()).run(stop), 5)
    failures = [one for one in caplog.records if one.exc_info]
    assert [one.getMessage() for one in failures] == 2 * ["The periodic task wrong has failed."]


async def test_a_worker_continues_when_the_database_is_back(
    isolated_settings, isolated_transaction, isolated_world, caplog, monkeypatch
) -> None:
    monkeypatch.setattr("worker.scheduler.OUTAGE_RETRY_DELAY", 0.1)
    first, second = await request_approvals(isolated_transaction, isolated_world, count=2)
    async with run_cuttable_proxy(isolated_settings) as line, running_worker(line.settings) as work:
        await approve(isolated_transaction, isolated_world, first, undo_seconds=0.1)
        await until(are_approved(isolated_transaction, first))
        line.cut()
        await until(logs(caplog, "has lost the database"))
        await asyncio.sleep(0.5)  # several attempts to reach it again
        await approve(isolated_transaction, isolated_world, second, undo_seconds=0.1)
        assert not work.done()
        await line.restore()
        await until(are_approved(isolated_transaction, second))
    assert await count_events(isolated_transaction, EventType.APPROVAL_APPROVED) == 2
    ours = [one for one in caplog.records if one.name.split(".")[0] in ("services", "worker")]
    assert [one for one in ours if one.exc_info] == []
    outages = [one for one in ours if "the database:" in one.getMessage()]
    assert len([one for one in outages if one.name == "worker.scheduler"]) == 1


async def test_a_part_of_the_worker_that_fails_ends_all(isolated_settings) -> None:
    """So that the worker is started again."""
    others = asyncio.all_tasks()
    broken = WorkerIntervals(purge=cast("float", "soon"))
    work = worker.main.run(isolated_settings, asyncio.Event(), intervals=broken)
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(work, 20)
    assert caught.group_contains(TypeError)
    assert asyncio.all_tasks() == others


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
