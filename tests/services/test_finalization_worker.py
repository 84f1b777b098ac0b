"""Decisions are finalized by the worker, with real commits and several workers."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy import func, select, text, update

from core.clock import now
from core.db.listen import PostgresListener
from models import (
    DECISIONS_TOPIC,
    Approval,
    ApprovalStatus,
    Board,
    EventType,
)
from services import approvals, boards, tasks
from services.approval_actions import hash_action
from tests.support.tiers import repetition
from tests.support.worker_harness import (
    APPROVED,
    NOTIFIED_ONLY,
    approve,
    are_approved,
    count_events,
    is_listening,
    request_approvals,
    running_worker,
    until,
    worker_process,
)


@asynccontextmanager
async def listening_for_decisions(settings):
    """Give an event that is set when an approval has been decided."""
    listener = PostgresListener()
    listening = asyncio.create_task(listener.listen(settings.dsn))
    try:
        with listener.subscribe(DECISIONS_TOPIC) as notified:
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


async def test_a_restored_decision_wakes_the_workers(
    isolated_settings, isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    async with isolated_transaction() as session:
        world.board = await session.merge(world.board)
        task = world.make_task()
        approval, link = world.make_approval(task)
        session.add_all([task, approval, link])
        task_id, approval_id = task.id, approval.id
    await approve(isolated_transaction, world, approval_id, undo_seconds=60)
    async with isolated_transaction() as session:
        board = await boards.lock_board(session, world.alice, world.board.id)
        await tasks.delete_task(session, world.alice, board, task_id)
    async with listening_for_decisions(isolated_settings) as notified:
        async with isolated_transaction() as session:
            board = await boards.lock_board(session, world.alice, world.board.id)
            await tasks.restore_task(session, world.alice, board, task_id)
        await asyncio.wait_for(notified.wait(), 5)


async def test_the_next_finalization_is_that_of_the_earliest_decision(
    isolated_transaction, isolated_world
) -> None:
    first, second, third, _ = await request_approvals(isolated_transaction, isolated_world, count=4)
    async with isolated_transaction() as session:
        await session.execute(text("select pg_sleep(0.01)"))
        decided_at = now()  # later than the start of the transaction
        await approvals.decide_with_undo(
            session, isolated_world.alice, first, status=APPROVED, undo_seconds=5
        )
        expected = (await session.get_one(Approval, first)).finalizes_at
        assert decided_at + timedelta(seconds=5) <= expected
    await approve(isolated_transaction, isolated_world, second, undo_seconds=60)
    await approve(isolated_transaction, isolated_world, third, undo_seconds=0)
    async with isolated_transaction() as session:
        assert await approvals.find_next_finalization(session) == expected


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


async def test_two_workers_finalize_each_decision_once(
    isolated_settings, isolated_transaction, isolated_world
) -> None:
    ids = await request_approvals(isolated_transaction, isolated_world, count=12)
    async with running_worker(isolated_settings), running_worker(isolated_settings):
        for id in ids:
            await approve(isolated_transaction, isolated_world, id, undo_seconds=0.05)
        await until(are_approved(isolated_transaction, *ids))
    assert await count_events(isolated_transaction, EventType.APPROVAL_APPROVED) == 12


async def kill_worker_waiting_for(lock, id, world, transaction, settings, data) -> None:
    """Approve, and kill a worker process that finalizes this while it waits for `lock`."""

    async def is_waiting_for_a_lock():
        async with transaction() as session:
            waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            return await session.scalar(text(waits + " and datname = current_database()")) > 0

    async with transaction() as session:
        with worker_process(settings, data):
            await until(is_listening(settings))
            await approve(transaction, world, id, undo_seconds=1)
            await session.execute(lock)
            await until(is_waiting_for_a_lock)


async def test_the_work_of_a_killed_worker_is_done_by_the_next(
    isolated_settings, isolated_transaction, isolated_world, tmp_path
) -> None:
    """W-42. The first worker is killed while it waits to update the approval."""
    world = isolated_world
    [id] = await request_approvals(isolated_transaction, world)
    lock = select(Approval.id).where(Approval.id == id).with_for_update()
    await kill_worker_waiting_for(
        lock, id, world, isolated_transaction, isolated_settings, tmp_path
    )
    assert not await are_approved(isolated_transaction, id)()

    async with running_worker(isolated_settings):
        await until(are_approved(isolated_transaction, id))
    assert await count_events(isolated_transaction, EventType.APPROVAL_APPROVED) == 1


@repetition
async def test_a_worker_that_is_killed_during_its_commit_decides_once(
    isolated_settings, isolated_transaction, isolated_world, tmp_path
) -> None:
    """W-42. PostgreSQL completes a commit also if nobody waits for the answer."""
    world = isolated_world
    [id] = await request_approvals(isolated_transaction, world)
    key = func.hashtextextended(str(world.tern.id), 0)
    lock = select(func.pg_advisory_xact_lock(key))
    await kill_worker_waiting_for(
        lock, id, world, isolated_transaction, isolated_settings, tmp_path
    )

    async with running_worker(isolated_settings):
        await until(are_approved(isolated_transaction, id))
    assert await count_events(isolated_transaction, EventType.APPROVAL_APPROVED) == 1


async def test_a_board_that_cannot_be_finalized_does_not_stop_the_others(
    isolated_settings, isolated_transaction, isolated_world, caplog, monkeypatch
) -> None:
    """W-42. The failure is logged, and tried again."""
    monkeypatch.setattr("worker.periodic.FAILED_BOARD_DELAY", timedelta(seconds=0.1))
    world = isolated_world
    first, second = await request_approvals(isolated_transaction, world, count=2)
    async with isolated_transaction() as session:
        moved = update(Approval).where(Approval.id == second)
        elsewhere = hash_action(world.garden.id, "task.complete", [], {"reason": "It is finished."})
        await session.execute(moved.values(board_id=world.garden.id, requested_hash=elsewhere))
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


async def test_a_board_that_stays_locked_does_not_stop_the_others(
    isolated_settings, isolated_transaction, isolated_world, monkeypatch
) -> None:
    monkeypatch.setattr("worker.periodic._SET_LOCK_TIMEOUT", text("set local lock_timeout = '60s'"))
    world = isolated_world
    [here] = await request_approvals(isolated_transaction, world)
    [existing] = await request_approvals(isolated_transaction, world)
    async with isolated_transaction() as session:
        due = {"decided_status": APPROVED, "finalizes_at": now(), "decided_at": now()}
        decided = update(Approval).values(decided_by_user_id=world.alice.id, **due)
        await session.execute(decided)
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
