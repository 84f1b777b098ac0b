"""Dependencies between the tasks of a board."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from uuid import UUID

from sqlalchemy import Uuid, bindparam, cast, delete, func, insert, inspect, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from core.db.transactions import Write
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
    rows = await STATUSES.fetch(session, board_id=board.id, task_ids=ids) if ids else []
    found = dict(rows)
    dependents = await DEPENDENT_IDS.fetch(session, task_id=task.id) if ids else []
    return DependencyCheck(
        open_ids=[id for id in ids if found.get(id) not in (None, Status.DONE)],
        missing_ids=[id for id in ids if id not in found],
        creates_cycle=not {id for (id,) in dependents}.isdisjoint(ids),
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


_FOUND = select(cast(bindparam("task_id", type_=Uuid()), Uuid()).label("id")).cte(
    "dependents", recursive=True
)
DEPENDENTS = _FOUND.union(
    select(TaskDependency.task_id).join(_FOUND, _FOUND.c.id == TaskDependency.depends_on_task_id)
)
"""Selects the ids of the task `task_id` and of all its direct and indirect dependents."""

DEPENDENT_IDS: Query[tuple[UUID]] = Query(select(DEPENDENTS.c.id))
STATUSES: Query[tuple[UUID, Status]] = Query(
    select(Task.id, Task.status).where(
        Task.board_id == bindparam("board_id"),
        Task.id == func.any(bindparam("task_ids", type_=ARRAY(Uuid()))),
    )
)
OPEN_DEPENDENTS: Query[Task] = Query(
    select(Task)
    .where(
        Task.id.in_(
            select(TaskDependency.task_id).where(
                TaskDependency.depends_on_task_id == bindparam("task_id")
            )
        ),
        Task.status != Status.DONE,
    )
    .order_by(Task.created_at, Task.id)
    .execution_options(populate_existing=True),
    itemgetter(0),
)
INSERT_DEPENDENCIES = Write(
    insert(TaskDependency).inline(), [one.key for one in inspect(TaskDependency).column_attrs]
)
DELETE_DEPENDENCIES = Write(
    delete(TaskDependency).where(TaskDependency.task_id == bindparam("task_id"))
)


async def replace_dependencies(session: AsyncSession, task: Task, ids: Sequence[UUID]) -> None:
    """Replace the dependencies of a task, in this display order."""
    await DELETE_DEPENDENCIES.execute(session, task_id=task.id)
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
    await INSERT_DEPENDENCIES.execute_many(session, rows)


async def list_open_dependents(session: AsyncSession, task: Task) -> Sequence[Task]:
    """Return the direct dependents of a task that are not done, oldest first."""
    return await OPEN_DEPENDENTS.fetch(session, task_id=task.id)
