"""Concurrent claims and dependency changes, many times, with real commits."""

import asyncio
from collections import Counter

from sqlalchemy import insert, select

from core.clock import now
from core.errors import Conflict
from models import Event, Status, Task, TaskDependency, new_id
from services import boards, tasks
from tests.support.rounds import ROUNDS, run_rounds


async def insert_tasks(transaction, board, count):
    moment = now()
    rows = [
        {"id": new_id(), "board_id": board.id, "title": f"Task {n}"}
        | {"created_at": moment, "updated_at": moment}
        for n in range(count)
    ]
    async with transaction() as session:
        await session.execute(insert(Task), rows)
    return [row["id"] for row in rows]


async def try_update(transaction, actor, board, task_id, changes):
    """Update a task in its own transaction and return the code of the conflict, if any."""
    try:
        async with transaction() as session:
            locked_board = await boards.lock_board(session, actor, board.id)
            await tasks.update_task(
                session, actor, locked_board, task_id, tasks.TaskUpdate.of(**changes)
            )
    except Conflict as error:
        return error.code
    return None


async def test_exactly_one_of_two_concurrent_claims_succeeds(
    isolated_transaction, isolated_world
) -> None:
    """R1."""
    world, start = isolated_world, {"status": "in_progress"}
    contenders = [world.worker, world.other_worker]
    task_ids = await insert_tasks(isolated_transaction, world.board, ROUNDS)
    won_by = {}

    async def claim(task_id):
        codes = await asyncio.gather(
            *[
                try_update(isolated_transaction, one, world.board, task_id, start)
                for one in contenders
            ]
        )
        assert set(codes) == {None, "task_already_claimed"}
        won_by[task_id] = contenders[codes.index(None)].id

    await run_rounds(task_ids, claim)
    async with isolated_transaction() as session:
        rows = await session.execute(select(Task.id, Task.assigned_agent_id, Task.version))
        assert {id: (agent_id, version) for id, agent_id, version in rows} == {
            id: (agent_id, 2) for id, agent_id in won_by.items()
        }
        events = await session.execute(select(Event.task_id, Event.agent_id))
        assert Counter(tuple(row) for row in events) == Counter(won_by.items())


async def test_concurrent_updates_never_create_a_dependency_cycle(
    isolated_transaction, isolated_world
) -> None:
    """R3."""
    world = isolated_world
    task_ids = await insert_tasks(isolated_transaction, world.board, 2 * ROUNDS)

    async def connect(pair):
        one, other = pair
        codes = await asyncio.gather(
            *[
                try_update(
                    isolated_transaction, actor, world.board, a, {"depends_on_task_ids": [b]}
                )
                for actor, a, b in [(world.alice, one, other), (world.lead, other, one)]
            ]
        )
        assert set(codes) == {None, "dependency_cycle"}

    await run_rounds(zip(task_ids[::2], task_ids[1::2], strict=True), connect)
    async with isolated_transaction() as session:
        edges = (await session.scalars(select(TaskDependency))).all()
        assert len(edges) == ROUNDS


async def test_concurrent_completion_and_new_dependency_conflict(
    isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    task_ids = await insert_tasks(isolated_transaction, world.board, 2 * ROUNDS)

    async def complete(pair):
        one, other = pair
        completed, blocked = await asyncio.gather(
            try_update(isolated_transaction, world.worker, world.board, one, {"status": "done"}),
            try_update(
                isolated_transaction, world.lead, world.board, one, {"depends_on_task_ids": [other]}
            ),
        )
        codes = {completed, blocked}
        assert codes in (
            {None, "task_blocked_cannot_transition"},
            {None, "dependencies_of_done_task"},
        )

    await run_rounds(zip(task_ids[::2], task_ids[1::2], strict=True), complete)
    async with isolated_transaction() as session:
        done = select(TaskDependency.id).join(Task, Task.id == TaskDependency.task_id)
        assert await session.scalar(done.where(Task.status == Status.DONE)) is None
