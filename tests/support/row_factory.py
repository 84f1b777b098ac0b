"""Insert a row into every table that belongs to an organization or a user, from the metadata."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column, Table, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import Base, Member, new_id
from models.approval_policy import PolicyRulesType

UNOWNED_TABLES = {
    "audit_anchors",
    "audit_records",
    "encryption_keys",
    "event_commits",
    "first_run_links",
    "gateway_departures",
    "idempotency_keys",
    "organizations",
    "failed_attempts",
    "limit_shares",
    "pending_sign_ins",
    "public_addresses",
    "soul_directories",
    "souls",
    "users",
    "write_checks",
}
"""The tables whose rows belong to no single organization or user, or expire soon anyway."""

TWO_ROW_TABLES = {"tasks"}  # so that one task can depend on the other
SECOND_ROW_COLUMNS = {"depends_on_task_id"}  # columns that refer to the second row


def find_owned_tables(name: str) -> set[str]:
    """Return the tables whose rows are deleted with a row of this table, directly or indirectly."""
    found = {name}
    tables = Base.metadata.sorted_tables
    while more := {one.name for one in tables if _is_deleted_with(one, found)} - found:
        found |= more
    return found - {name}


def _is_deleted_with(table: Table, owners: Iterable[str]) -> bool:
    return any(
        key.column.table.name in owners and key.ondelete == "CASCADE" for key in table.foreign_keys
    )


async def fill_tables(session: AsyncSession, member: Member) -> None:
    """Insert a row into every table for a member's organization and user."""
    made: dict[str, list[UUID]] = {
        "organizations": [member.organization_id],
        "users": [member.user_id],
        "organization_members": [member.id],
    }
    for table in Base.metadata.sorted_tables:
        if table.name in UNOWNED_TABLES or table.name in made:
            continue
        rows = [_make_row(table, made) for _ in range(2 if table.name in TWO_ROW_TABLES else 1)]
        # The database may have counted the other rows in a row with the same key.
        await session.execute(insert(table).on_conflict_do_nothing(), rows)
        made[table.name] = [row["id"] for row in rows]


async def read_all_rows(session: AsyncSession) -> Mapping[str, list[str]]:
    """Return all rows of the database by table, each as text, without the audit.

    The audit remains when users and organizations are deleted: see docs/audit.md. The times at
    which tokens were used are left out: they are written up to a second after a request.
    """
    return {
        table.name: sorted(
            str(tuple(row))
            for row in await session.execute(
                select(*(column for column in table.columns if column.name != "last_used_at"))
            )
        )
        for table in Base.metadata.sorted_tables
        if table.name != "audit_records"
    }


ALTERNATIVES = {("tasks", "assigned_user_id"), ("tool_grants", "task_id")}
"""The columns that are empty, because another one is set."""

SET_COLUMNS = {("board_shortcuts", "opened_at")}
"""The nullable columns that are set, because one of several must be."""


def _make_row(table: Table, made: Mapping[str, list[UUID]]) -> dict[str, Any]:
    row: dict[str, Any] = {"id": new_id()}
    for column in table.columns:
        for key in column.foreign_keys:
            if (table.name, column.name) in ALTERNATIVES:
                continue
            ids = made[key.column.table.name]
            row[column.name] = ids[-1 if column.name in SECOND_ROW_COLUMNS else 0]
        is_set = _is_required(column) or (table.name, column.name) in SET_COLUMNS
        if column.name not in row and is_set:
            row[column.name] = _make_value(column)
    return row


def _is_required(column: Column[Any]) -> bool:
    is_given = column.nullable or column.default or column.server_default or column.identity
    return not is_given and column.computed is None


def _make_value(column: Column[Any]) -> Any:
    enums = getattr(column.type, "enums", None)
    if enums:
        return column.type.python_type(enums[0])
    if isinstance(column.type, JSON):
        return {}
    if isinstance(column.type, PolicyRulesType):
        return []
    made: dict[type, Any] = {UUID: new_id(), str: f"{column.name} {new_id()}", datetime: now()}
    kind = column.type.python_type
    return made[kind] if kind in made else kind(1)
