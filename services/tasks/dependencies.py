"""Dependencies between the tasks of a board."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import Board, Status, Task, TaskDependency, new_id

Graph = Mapping[UUID, Iterable[UUID]]


@dataclass(frozen=True)
class DependencyCheck:
    """The state of the dependencies that were requested for a task."""

    open_ids: Sequence[UUID]  # of tasks that are not done
    missing_ids: Sequence[UUID]
    creates_cycle: bool


async def load_dependency_check(
    session: AsyncSession, board: Board, task: Task, ids: Sequence[UUID]
) -> DependencyCheck:
    """Load the state of the dependencies requested for a task of this board."""
    query = select(Task.id, Task.status).where(Task.board_id == board.id, Task.id.in_(ids))
    found = {id: status for id, status in await session.execute(query)} if ids else {}
    edges = await load_dependency_graph(session, board) if ids else {}
    return DependencyCheck(
        open_ids=[id for id in ids if found.get(id) not in (None, Status.DONE)],
        missing_ids=[id for id in ids if id not in found],
        creates_cycle=is_reachable(edges, ids, task.id),
    )


async def load_dependency_graph(session: AsyncSession, board: Board) -> dict[UUID, list[UUID]]:
    """Return the dependencies of each task of a board."""
    query = select(TaskDependency.task_id, TaskDependency.depends_on_task_id)
    edges: dict[UUID, list[UUID]] = {}
    for task_id, dependency_id in await session.execute(
        query.where(TaskDependency.board_id == board.id)
    ):
        edges.setdefault(task_id, []).append(dependency_id)
    return edges


def is_reachable(edges: Graph, starts: Iterable[UUID], goal: UUID) -> bool:
    """Say whether a path leads from a start to the goal. Iterative, so any length works."""
    visited: set[UUID] = set()
    pending = list(starts)
    while pending:
        current = pending.pop()
        if current == goal:
            return True
        if current not in visited:
            visited.add(current)
            pending.extend(edges.get(current, ()))
    return False


def find_transitive_dependents(edges: Graph, goal: UUID) -> set[UUID]:
    """Return the ids of a task and of all its direct and indirect dependents."""
    dependents: dict[UUID, list[UUID]] = {}
    for task_id, dependency_ids in edges.items():
        for dependency_id in dependency_ids:
            dependents.setdefault(dependency_id, []).append(task_id)
    visited: set[UUID] = set()
    pending = [goal]
    while pending:
        current = pending.pop()
        if current not in visited:
            visited.add(current)
            pending.extend(dependents.get(current, ()))
    return visited


async def replace_dependencies(session: AsyncSession, task: Task, ids: Sequence[UUID]) -> None:
    """Replace the dependencies of a task, in this display order."""
    await session.execute(delete(TaskDependency).where(TaskDependency.task_id == task.id))
    await add_dependencies(session, task, ids)


async def add_dependencies(session: AsyncSession, task: Task, ids: Sequence[UUID]) -> None:
    """Add dependencies to a task that has none yet, in this display order."""
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


async def list_open_dependents(session: AsyncSession, task: Task) -> Sequence[Task]:
    """Return the direct dependents of a task that are not done, oldest first."""
    dependents = select(TaskDependency.task_id).where(TaskDependency.depends_on_task_id == task.id)
    query = select(Task).where(Task.id.in_(dependents), Task.status != Status.DONE)
    query = query.order_by(Task.created_at, Task.id).execution_options(populate_existing=True)
    return (await session.scalars(query)).all()
