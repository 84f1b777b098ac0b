"""Concurrent changes of several boards, and a repair at the same time: counters stay right."""

import random
from contextlib import suppress

from sqlalchemy import func, select

from core.errors import AppError
from models import ApprovalStatus, BoardCounts, Event, EventCount
from services import approvals, boards, counters, tasks
from services.approvals import ApprovalCreate
from services.tasks import TaskCreate
from tests.support.rounds import ROUNDS, Operation, run_concurrently, run_rounds

MOVES = ("inbox", "in_progress", "review", "done")


def create_task(world, board_id, created) -> Operation:
    async def run(session):
        board = await boards.lock_board(session, world.alice, board_id)
        task = (
            await tasks.create_task(session, world.alice, board, TaskCreate(title="Write"))
        ).task
        created.append((board_id, task.id))

    return run


def change_task(world, created, dice) -> Operation:
    """Delete, restore or move a task, which may fail, because others do the same."""
    board_id, task_id = dice.choice(created)

    async def run(session):
        board = await boards.lock_board(session, world.alice, board_id)
        command = dice.choice((tasks.delete_task, tasks.restore_task, None, None))
        with suppress(AppError):
            if command is not None:
                await command(session, world.alice, board, task_id)
            else:
                changes = {"status": dice.choice(MOVES)}
                await tasks.update_task(
                    session, world.alice, board, task_id, tasks.TaskUpdate.of(**changes)
                )
                await tasks.create_comment(session, world.alice, board, task_id, "Said.")

    return run


def decide_approval(world) -> Operation:
    """Request an approval and decide it in one transaction."""

    async def run(session):
        board = await boards.lock_board(session, world.alice, world.board.id)
        draft = ApprovalCreate(action_type="note", confidence=1, payload={"reason": "x"})
        id = (await approvals.request_approval(session, world.alice, board, draft)).approval.id
        await approvals.decide_with_undo(
            session, world.alice, id, status=ApprovalStatus.APPROVED, undo_seconds=9
        )

    return run


async def test_counters_are_exact_after_concurrent_changes(
    isolated_transaction, isolated_world
) -> None:
    """Writers of two boards, decisions and a repair run at once: no change is lost or deadlocks."""
    world, created = isolated_world, []

    async def race(number):
        dice = random.Random(number)
        creations = [create_task(world, one.id, created) for one in (world.board, world.garden)]
        results = await run_concurrently(isolated_transaction, *creations)
        changes = [change_task(world, created, dice) for _ in range(3)]
        results += await run_concurrently(
            isolated_transaction, *changes, decide_approval(world), counters.repair_counters
        )
        assert [one for one in results if isinstance(one, Exception)] == []
        assert results[-1] == []

    await run_rounds(range(ROUNDS), race, at_once=2)
    async with isolated_transaction() as session:
        assert await counters.repair_counters(session) == []
        assert await session.scalar(select(func.count()).select_from(BoardCounts)) == 2
        counted = await session.scalar(select(func.sum(EventCount.count)))
        assert counted == await session.scalar(select(func.count()).select_from(Event))
        assert counted > 4 * ROUNDS
