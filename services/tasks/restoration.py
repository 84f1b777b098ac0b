"""Insert the rows of a deleted task again, as far as they still fit."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Table, bindparam, func, select, text
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
    TaskDescription,
    TaskLink,
    TaskWatcher,
)
from services import custom_fields
from services.tasks import dependencies

RESTORE_ORDER = (
    Task,
    TaskDependency,
    Comment,
    TaskDescription,
    TagAssignment,
    CustomFieldValue,
    TaskLink,
    TaskWatcher,
    Approval,
    ApprovalTask,
)
"""The tables of a task in the order of their foreign keys."""


async def find_approvals_decided_since(
    session: AsyncSession, rows: Mapping[str, Any], deleted_at: datetime
) -> set[UUID]:
    """Return the approvals about a deleted task that were decided since it was deleted.

    Whoever decided did not see the task, so such an approval must not allow anything about it.
    """
    ids = [UUID(link["approval_id"]) for link in rows[ApprovalTask.__tablename__]]
    decided_at = func.coalesce(Approval.decided_at, Approval.resolved_at)
    query = select(Approval.id).where(Approval.id.in_(ids), decided_at > deleted_at)
    return set(await session.scalars(query)) if ids else set()


async def restore_rows(
    session: AsyncSession,
    board: Board,
    rows: Mapping[str, Any],
    *,
    without_links_of: Collection[UUID],
) -> None:
    """Insert the rows of a deleted task again, except for those with a missing reference.

    Links of the given approvals are left out.
    """
    edges, values = TaskDependency.__tablename__, CustomFieldValue.__tablename__
    links = ApprovalTask.__tablename__
    stored = {
        **rows,
        links: [row for row in rows[links] if UUID(row["approval_id"]) not in without_links_of],
        edges: await _without_cycles(session, board, rows[edges]),
        values: await custom_fields.filter_valid_rows(session, board, rows.get(values, [])),
    }
    for name in [model.__tablename__ for model in RESTORE_ORDER]:
        if stored.get(name):  # a task that was deleted before the table existed has none
            await session.execute(
                _insert_statement(Base.metadata.tables[name]), {"rows": stored[name]}
            )


async def _without_cycles(
    session: AsyncSession, board: Board, rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Leave out the dependencies that would now create a cycle."""
    if not rows:
        return []
    graph = await dependencies.load_dependency_graph(session, board)
    stored = []
    for row in rows:
        task_id, dependency_id = UUID(row["task_id"]), UUID(row["depends_on_task_id"])
        if not dependencies.is_reachable(graph, [dependency_id], task_id):
            graph.setdefault(task_id, []).append(dependency_id)
            stored.append(row)
    return stored


def _insert_statement(table: Table) -> Any:
    """Build the statement that inserts JSON rows without a missing required reference.

    A missing reference in a nullable column becomes null. The statement contains only names of
    our tables and columns, so the text cannot be injected.
    """
    required, nullable = [], []
    for key in table.foreign_keys:
        column, other = key.parent, key.column.table
        reference = f"select id from {other.name} where id = (stored ->> '{column.name}')::uuid"  # noqa: S608
        if column.nullable:
            nullable.append(f"'{column.name}', ({reference})")
        else:
            required.append(f"exists ({reference})")
    row = f"stored || jsonb_build_object({', '.join(nullable)})"
    names = [column.name for column in table.columns if column.computed is None]
    statement = (
        f"insert into {table.name} ({', '.join(names)}) "  # noqa: S608
        f"select {', '.join(f'restored.{name}' for name in names)} "
        "from jsonb_array_elements(:rows) as stored "
        f"cross join jsonb_populate_record(null::{table.name}, {row}) as restored "
        f"where {' and '.join(required)} on conflict do nothing"
    )
    return text(statement).bindparams(bindparam("rows", type_=JSONB))
