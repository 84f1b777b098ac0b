"""Two agents that want the same task at the same time, a thousand times, with real commits."""

import asyncio

from sqlalchemy import insert, select

from kit.clock import now
from kit.errors import Conflict
from models import Event, Status, Task, TaskDependency, new_id
from services import boards, tasks

ROUNDS = 1_000


async def some_tasks(transaction, board, count):
    moment = now()
    rows = [
        {"id": new_id(), "board_id": board.id, "title": f"Task {n}"}
        | {"created_at": moment, "updated_at": moment}
        for n in range(count)
    ]
    async with transaction() as session:
        await session.execute(insert(Task), rows)
    return [row["id"] for row in rows]


async def change(transaction, actor, board, task_id, changes):
    """Change a task in a transaction of one's own, and return how it was refused, if it was."""
    try:
        async with transaction() as session:
            held = await boards.hold(session, actor, board.id)
            await tasks.change(session, actor, held, task_id, changes)
    except Conflict as refusal:
        return refusal.code
    return None


async def test_of_two_agents_that_claim_a_task_at_once_exactly_one_has_it(
    real_transaction, real_world
) -> None:
    """R1."""
    world, start = real_world, {"status": "in_progress"}
    contenders = [world.worker, world.other_worker]
    task_ids = await some_tasks(real_transaction, world.board, ROUNDS)
    won_by = {}
    for task_id in task_ids:
        codes = await asyncio.gather(
            *[change(real_transaction, one, world.board, task_id, start) for one in contenders]
        )
        assert set(codes) == {None, "task_already_claimed"}
        won_by[task_id] = contenders[codes.index(None)].id

    async with real_transaction() as session:
        held = await session.execute(select(Task.id, Task.assigned_agent_id, Task.version))
        assert {id: (agent_id, version) for id, agent_id, version in held} == {
            id: (agent_id, 2) for id, agent_id in won_by.items()
        }
        told = await session.execute(select(Event.task_id, Event.agent_id).order_by(Event.seq))
        assert [tuple(row) for row in told] == list(won_by.items())


async def test_two_that_tie_tasks_together_at_once_never_close_a_circle(
    real_transaction, real_world
) -> None:
    """R3."""
    world = real_world
    task_ids = await some_tasks(real_transaction, world.board, 100)
    for one, other in zip(task_ids[::2], task_ids[1::2], strict=True):
        codes = await asyncio.gather(
            *[
                change(real_transaction, actor, world.board, a, {"depends_on_task_ids": [b]})
                for actor, a, b in [(world.alice, one, other), (world.lead, other, one)]
            ]
        )
        assert set(codes) == {None, "dependency_circle"}
    async with real_transaction() as session:
        edges = (await session.scalars(select(TaskDependency))).all()
        assert len(edges) == len(task_ids) / 2


async def test_of_finishing_a_task_and_making_it_wait_at_once_one_is_refused(
    real_transaction, real_world
) -> None:
    world = real_world
    task_ids = await some_tasks(real_transaction, world.board, 100)
    for one, other in zip(task_ids[::2], task_ids[1::2], strict=True):
        started, tied = await asyncio.gather(
            change(real_transaction, world.worker, world.board, one, {"status": "done"}),
            change(
                real_transaction, world.lead, world.board, one, {"depends_on_task_ids": [other]}
            ),
        )
        refusals = {started, tied}
        assert refusals in (
            {None, "task_blocked_cannot_transition"},
            {None, "dependencies_of_done_task"},
        )
    async with real_transaction() as session:
        done = select(TaskDependency.id).join(Task, Task.id == TaskDependency.task_id)
        assert await session.scalar(done.where(Task.status == Status.DONE)) is None
