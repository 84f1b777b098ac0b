"""What waits for what on a board."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Board, Status, Task, TaskDependency, new_id

Graph = Mapping[UUID, Iterable[UUID]]


@dataclass(frozen=True)
class Standing:
    """How the tasks stand that a task shall wait for."""

    waits_for: Sequence[UUID]
    missing: Sequence[UUID]
    closes_a_circle: bool


async def standing(
    session: AsyncSession, board: Board, task: Task, ids: Sequence[UUID]
) -> Standing:
    """Look up the tasks that a task of this board shall wait for."""
    query = select(Task.id, Task.status).where(Task.board_id == board.id, Task.id.in_(ids))
    found = {id: status for id, status in await session.execute(query)} if ids else {}
    edges = await graph(session, board) if ids else {}
    return Standing(
        waits_for=[id for id in ids if found.get(id) not in (None, Status.DONE)],
        missing=[id for id in ids if id not in found],
        closes_a_circle=reaches(edges, ids, task.id),
    )


async def graph(session: AsyncSession, board: Board) -> dict[UUID, list[UUID]]:
    """Return which tasks of a board wait for which."""
    query = select(TaskDependency.task_id, TaskDependency.depends_on_task_id)
    edges: dict[UUID, list[UUID]] = {}
    for waiting, awaited in await session.execute(query.where(TaskDependency.board_id == board.id)):
        edges.setdefault(waiting, []).append(awaited)
    return edges


def reaches(edges: Graph, starts: Iterable[UUID], goal: UUID) -> bool:
    """Say whether a way leads from one of the starts to the goal. A long way is no trouble."""
    seen: set[UUID] = set()
    ahead = list(starts)
    while ahead:
        here = ahead.pop()
        if here == goal:
            return True
        if here not in seen:
            seen.add(here)
            ahead.extend(edges.get(here, ()))
    return False


def upstream(edges: Graph, goal: UUID) -> set[UUID]:
    """Return a task and all that wait for it, by whatever way."""
    waiting: dict[UUID, list[UUID]] = {}
    for task_id, awaited in edges.items():
        for id in awaited:
            waiting.setdefault(id, []).append(task_id)
    seen: set[UUID] = set()
    ahead = [goal]
    while ahead:
        here = ahead.pop()
        if here not in seen:
            seen.add(here)
            ahead.extend(waiting.get(here, ()))
    return seen


async def replace(session: AsyncSession, task: Task, ids: Sequence[UUID]) -> None:
    """Let a task wait for these tasks instead of others, shown in this order."""
    await session.execute(delete(TaskDependency).where(TaskDependency.task_id == task.id))
    await add(session, task, ids)


async def add(session: AsyncSession, task: Task, ids: Sequence[UUID]) -> None:
    """Let a task that waits for nothing yet wait for these tasks, shown in this order."""
    rows = [
        {
            "id": new_id(),
            "board_id": task.board_id,
            "task_id": task.id,
            "depends_on_task_id": id,
            "position": position,
            "created_at": now(),
        }
        for position, id in enumerate(ids)
    ]
    if rows:
        await session.execute(insert(TaskDependency), rows)


async def dependents(session: AsyncSession, task: Task) -> Sequence[Task]:
    """Return the tasks that wait for this one and are not done themselves, oldest first."""
    waiting = select(TaskDependency.task_id).where(TaskDependency.depends_on_task_id == task.id)
    query = select(Task).where(Task.id.in_(waiting), Task.status != Status.DONE)
    query = query.order_by(Task.created_at, Task.id).execution_options(populate_existing=True)
    return (await session.scalars(query)).all()
