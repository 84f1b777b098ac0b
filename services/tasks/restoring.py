"""Writing rows back that were kept as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Table, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from models import (
    Approval,
    ApprovalTask,
    Base,
    Board,
    Comment,
    CustomFieldValue,
    TagAssignment,
    Task,
    TaskDependency,
)
from services import custom_fields
from services.tasks import dependencies

ORDER = (
    Task,
    TaskDependency,
    Comment,
    TagAssignment,
    CustomFieldValue,
    Approval,
    ApprovalTask,
)
"""The tables of a task, what is referred to first."""


async def put_back(session: AsyncSession, board: Board, rows: Mapping[str, Any]) -> None:
    """Write the rows of a deleted task back, as far as what they refer to is still there."""
    edges, values = TaskDependency.__tablename__, CustomFieldValue.__tablename__
    kept = {
        **rows,
        edges: await _without_circles(session, board, rows[edges]),
        values: await custom_fields.fitting(session, board, rows.get(values, [])),
    }
    for name in [model.__tablename__ for model in ORDER]:
        if kept[name]:
            await session.execute(_insertion(Base.metadata.tables[name]), {"rows": kept[name]})


async def _without_circles(
    session: AsyncSession, board: Board, rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Leave out the dependencies that would by now let tasks wait for each other in a circle."""
    if not rows:
        return []
    graph = await dependencies.graph(session, board)
    kept = []
    for row in rows:
        waiting, awaited = UUID(row["task_id"]), UUID(row["depends_on_task_id"])
        if not dependencies.reaches(graph, [awaited], waiting):
            graph.setdefault(waiting, []).append(awaited)
            kept.append(row)
    return kept


def _insertion(table: Table) -> Any:
    """Insert JSON rows into a table, but for those that must refer to a row which is gone.

    Where a row need not refer to anything, null is written instead of what is gone. All names in
    this statement are those of our tables and columns.
    """
    needed, emptied = [], []
    for key in table.foreign_keys:
        column, other = key.parent, key.column.table
        there = f"select id from {other.name} where id = (kept ->> '{column.name}')::uuid"  # noqa: S608
        if column.nullable:
            emptied.append(f"'{column.name}', ({there})")
        else:
            needed.append(f"exists ({there})")
    row = f"kept || jsonb_build_object({', '.join(emptied)})"
    names = [column.name for column in table.columns if column.computed is None]
    statement = (
        f"insert into {table.name} ({', '.join(names)}) "  # noqa: S608
        f"select {', '.join(f'back.{name}' for name in names)} "
        "from jsonb_array_elements(:rows) as kept "
        f"cross join jsonb_populate_record(null::{table.name}, {row}) as back "
        f"where {' and '.join(needed)} on conflict do nothing"
    )
    return text(statement).bindparams(bindparam("rows", type_=JSONB))
