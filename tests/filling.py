"""A row in every table that is an organization's or a person's, made from what the tables say."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Base, Member, new_id

NOBODYS = {
    "first_run_links",
    "gateway_departures",
    "idempotency_keys",
    "organizations",
    "pending_sign_ins",
    "soul_directories",
    "souls",
    "users",
}
"""The tables whose rows are neither an organization's nor a person's alone, or soon go anyway."""

TWICE = {"tasks"}  # two rows, so that one may wait for the other
LAST = {"depends_on_task_id"}  # columns that refer to the second


def belonging_to(name: str) -> set[str]:
    """Return the tables whose rows go when what they belong to goes, straight or by others."""
    found = {name}
    tables = Base.metadata.sorted_tables
    while more := {one.name for one in tables if _goes_with(one, found)} - found:
        found |= more
    return found - {name}


def _goes_with(table: Table, owners: Iterable[str]) -> bool:
    return any(
        key.column.table.name in owners and key.ondelete == "CASCADE" for key in table.foreign_keys
    )


async def fill(session: AsyncSession, member: Member) -> None:
    """Put a row in every table for a member's organization, and for the member as a person."""
    made: dict[str, list[UUID]] = {
        "organizations": [member.organization_id],
        "users": [member.user_id],
        "organization_members": [member.id],
    }
    for table in Base.metadata.sorted_tables:
        if table.name in NOBODYS or table.name in made:
            continue
        rows = [_row(table, made) for _ in range(2 if table.name in TWICE else 1)]
        await session.execute(insert(table), rows)
        made[table.name] = [row["id"] for row in rows]


async def rows_in(session: AsyncSession) -> Mapping[str, list[str]]:
    """Return everything that is in the database, each row as text."""
    return {
        table.name: sorted(str(tuple(row)) for row in await session.execute(select(table)))
        for table in Base.metadata.sorted_tables
    }


def _row(table: Table, made: Mapping[str, list[UUID]]) -> dict[str, Any]:
    row: dict[str, Any] = {"id": new_id()}
    for column in table.columns:
        for key in column.foreign_keys:
            ids = made[key.column.table.name]
            row[column.name] = ids[-1 if column.name in LAST else 0]
        if column.name not in row and _has_to_be_given(column):
            row[column.name] = _something(column)
    return row


def _has_to_be_given(column: Column[Any]) -> bool:
    is_given = column.nullable or column.default or column.server_default or column.identity
    return not is_given and column.computed is None


def _something(column: Column[Any]) -> Any:
    enums = getattr(column.type, "enums", None)
    if enums:
        return column.type.python_type(enums[0])
    if isinstance(column.type, JSON):
        return {}
    made: dict[type, Any] = {UUID: new_id(), str: f"{column.name} {new_id()}", datetime: now()}
    kind = column.type.python_type
    return made[kind] if kind in made else kind(1)
