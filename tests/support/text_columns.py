"""Write a marker into the texts of the database, and replace it by another text."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import new_id
from tests.support.marked_texts import MARK
from tests.support.world import World


class TextColumn(NamedTuple):
    """A column of the database."""

    table: str
    name: str
    kind: str  # its type

    @property
    def text(self) -> str:
        """The SQL of its value as a text."""
        return f'"{self.name}"::text'


async def mark_world(session: AsyncSession, world: World) -> None:
    """Write the marker into the texts of the rows that every test has."""
    people = {"name": MARK, "preferred_name": MARK, "pronouns": MARK, "notes": MARK}
    statements = {
        "organizations": {"name": MARK, "stopped_by": MARK, "stop_reason": MARK},
        "users": people | {"context": MARK},
        "boards": {"name": MARK, "description": MARK, "objective": MARK},
        "agents": {"name": MARK, "identity_template": MARK, "soul_template": MARK},
        "sign_ins": {"user_agent": MARK, "ip": MARK},
        "api_tokens": {"name": MARK, "prefix": MARK},
        "gateways": {"name": MARK, "gateway_version": MARK, "workspace_root": MARK},
        "gateway_requests": {"gateway_name": MARK},
    }
    for table, values in statements.items():
        changes = ", ".join(f"{column} = :{column}" for column in values)
        await session.execute(sql(f"update {table} set {changes}"), values)
    profile = json.dumps({key: MARK for key in ("role", "emoji", "purpose", MARK)})
    hold = json.dumps({"cause": "messages", "reason": MARK})
    texts = {key: MARK for key in ("code", "reason", "command")}
    failure = json.dumps(texts | {"step": "create_agent", "at": now().isoformat()})
    held = (
        "identity_profile = :profile, hold = :hold, held_at = now(), "
        "provision_failure = :failure, step_error = :failure"
    )
    values = {"profile": profile, "hold": hold, "failure": failure}
    await session.execute(sql(f"update agents set {held}"), values)
    await session.execute(sql("update organizations set stopped_at = now()"))
    await session.execute(sql("update users set email = :email || id"), {"email": f"{MARK}@"})
    names = ("action", "actor_kind", "actor_name", "address", "cause", "object_kind", "object_name")
    columns, values = ", ".join(names), ", ".join(f":{name}" for name in names)
    changed = json.dumps({MARK: MARK, "name": MARK})
    insert = f"insert into audit_records (id, organization_id, {columns}, before, after)"
    await session.execute(
        sql(f"{insert} values (:id, :organization_id, {values}, :changed, :changed)"),
        dict.fromkeys(names, MARK)
        | {"id": new_id(), "organization_id": world.tern.id, "changed": changed},
    )


async def list_text_columns(session: AsyncSession) -> Sequence[TextColumn]:
    """Return all columns that contain texts, except enumerations, hashes and counters."""
    rows = await session.execute(
        sql(
            "select table_name, column_name, udt_name from information_schema.columns"
            " where table_schema = 'public' and udt_name in ('text', 'varchar', 'jsonb')"
            " and column_name !~ 'hash|encrypted|sha256' and table_name !~ '_(counts|hours)$'"
            " order by table_name, column_name"
        )
    )
    return [TextColumn(*row) for row in rows]


async def list_marked_columns(session: AsyncSession) -> Sequence[TextColumn]:
    """Return the columns with the marker."""
    found = []
    for column in await list_text_columns(session):
        statement = f"select 1 from {column.table} where {column.text} like :mark limit 1"
        if await session.scalar(sql(statement), {"mark": f"%{MARK}%"}):
            found.append(column)
    return found


async def replace_mark(session: AsyncSession, columns: Sequence[TextColumn], text: str) -> None:
    """Replace the marker in these columns, also in those that the application cannot change."""
    await session.execute(sql("set local session_replication_role = 'replica'"))
    values = {"mark": MARK, "quoted": json.dumps(text)[1:-1], "text": text, "like": f"%{MARK}%"}
    for column in columns:
        old = column.text
        is_json = "true" if column.kind == "jsonb" else f"{old} ~ '^[[{{]'"
        new = f"replace({old}, :mark, case when {is_json} then :quoted else :text end)"
        changed = f'"{column.name}" = {new}::{column.kind}'
        await session.execute(
            sql(f"update {column.table} set {changed} where {old} like :like"), values
        )
    await session.execute(sql("set local session_replication_role = 'origin'"))
