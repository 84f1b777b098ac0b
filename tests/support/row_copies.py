"""Copy rows of a database with all that belongs to them, so that it has many times the data.

What is copied, and which values must differ, is read from the metadata of the tables.
"""

from collections.abc import Mapping
from uuid import uuid4

import asyncpg
from sqlalchemy import BigInteger, Column, DateTime, Table, UniqueConstraint, Uuid
from sqlalchemy.ext.asyncio import async_sessionmaker

from core.config.settings import Settings
from core.db.engine import create_database_engine
from models import Base
from services import counters

COUNTERS = ("_counts", "_hours")  # ends of the names of tables that are counted anew
AGE = "interval '7 hours' * n"  # a copy is older by so much than the one before it
TIMEOUT = 600  # seconds
SALT = "current_setting('copies.salt')"  # copies of one row by several calls differ
PLAIN_REFERENCES = {
    "board_id": "boards",
    "task_id": "tasks",
    "agent_id": "agents",
    "approval_id": "approvals",
}
"""Tables to which some columns refer without a foreign key."""
TOKEN_PREFIX = "prefix"
"""A column by which tokens are found: it need not be unique, but hardly two have the same."""
MAX_LENGTH = 40  # characters of a copied text that must be unique

Conditions = Mapping[str, str]  # by table: which rows are copied, for example "name = 'Garden'"
Values = Mapping[tuple[str, str], str]  # by table and column: an SQL expression of the copy


WORK = dict.fromkeys(
    (
        *("tasks", "board_memory", "board_group_memory", "approvals", "activity_events"),
        *("notifications", "agent_messages", "agent_runs", "agent_questions", "audit_records"),
        *("coding_sessions", "gateway_requests", "board_webhook_payloads", "webhook_deliveries"),
        *("trash", "user_questions", "gateway_config_changes"),
    ),
    "true",
)
"""What people and agents create each day; of the work that waits for people there is not more."""
PAST: Values = {
    ("tasks", "rank"): "t.rank - n",
    ("approvals", "status"): "'approved'",
    ("approvals", "resolved_at"): "t.created_at",
    ("agent_questions", "answer"): "'Done.'",
    ("agent_questions", "answered_at"): "t.created_at",
    ("agent_messages", "state"): "'acknowledged'",
    ("agent_runs", "status"): "'ended'",
    ("agent_runs", "ended_at"): "t.updated_at",
    ("coding_sessions", "state"): "'ended'",
    ("coding_sessions", "ended_at"): "t.last_signal_at",
    ("gateway_requests", "state"): "'expired'",
    ("notifications", "read_at"): "t.created_at",
    ("notifications", "resolved_at"): "t.created_at",
}


async def multiply_rows(
    settings: Settings, roots: Conditions, factor: int, changed: Values | None = None
) -> None:
    """Copy rows, and all rows that are deleted with them, until there are `factor` times as many.

    Counters are counted anew, and the statistics of PostgreSQL are updated.
    """
    if factor > 1:
        connection = await asyncpg.connect(settings.dsn)
        # The triggers would count each row, and refuse rows of the audit.
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(f"SET copies.salt = '{uuid4()}'")
        for statement in _build_statements(roots, factor - 1, changed or {}):
            await connection.execute(statement, timeout=TIMEOUT)
        await connection.close()
    engine = create_database_engine(settings, size=1)
    async with async_sessionmaker(engine).begin() as session:
        await counters.repair_counters(session)
    await engine.dispose()
    connection = await asyncpg.connect(settings.dsn)
    await connection.execute("VACUUM ANALYZE", timeout=TIMEOUT)
    await connection.close()


def _build_statements(roots: Conditions, copies: int, changed: Values) -> list[str]:
    """Return the statements that insert the copies, referring tables last."""
    statements, chosen = [], _choose_rows(roots)
    for name, condition in chosen.items():
        values = _copy_values(Base.metadata.tables[name], chosen)
        values |= {column: value for (table, column), value in changed.items() if table == name}
        columns = ", ".join(f'"{column}"' for column in values)
        statements.append(
            f"INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE"
            f" SELECT {', '.join(values.values())} FROM {name} t"
            f" CROSS JOIN generate_series(1, {copies}) AS n WHERE {condition}"
            " ORDER BY n DESC"
        )
    return statements


def _choose_rows(roots: Conditions) -> dict[str, str]:
    """Return the conditions of all rows to copy by table, referring tables last."""
    chosen: dict[str, str] = {}
    for table in Base.metadata.sorted_tables:
        owners = [
            f"{key.parent.name} IN ({_select_ids(key.column.table.name, chosen)})"
            for key in table.foreign_keys
            if key.ondelete == "CASCADE" and key.column.table.name in chosen
        ]
        if table.name in roots:
            chosen[table.name] = roots[table.name]
        elif owners and not table.name.endswith(COUNTERS):
            chosen[table.name] = " OR ".join(owners)
    return chosen


def _select_ids(table: str, chosen: Conditions) -> str:
    return f"SELECT id FROM {table} WHERE {chosen[table]}"


def _copy_values(table: Table, chosen: Conditions) -> dict[str, str]:
    """Return the SQL of each column of the copy number n of the row t."""
    values = {}
    for column in table.columns:
        if column.computed is None:
            value = f't."{column.name}"'
            is_time = isinstance(column.type, DateTime)
            values[column.name] = f"{value} - {AGE}" if is_time else value
    references = PLAIN_REFERENCES | {
        key.parent.name: key.column.table.name for key in table.foreign_keys
    }
    for name, parent in references.items():
        if name in values and parent in chosen:
            ids = _select_ids(parent, chosen)
            copied = f"CASE WHEN t.{name} IN ({ids}) THEN {_copy_id(name)} ELSE t.{name} END"
            values[name] = copied
    if not table.columns["id"].foreign_keys:
        values["id"] = _copy_id("id")
    own = {key.parent.name for key in table.foreign_keys if key.column.table.name in chosen}
    for column in _list_distinct_columns(table, own):
        values[column.name] = _make_distinct(table, column)
    return values


def _list_distinct_columns(table: Table, copied_ids: set[str]) -> list[Column]:
    """Return a column of each unique key that would else be the same in the copy."""
    keys = [list(one.columns) for one in table.constraints if isinstance(one, UniqueConstraint)]
    keys += [list(one.columns) for one in table.indexes if one.unique]
    keys += [[one] for one in table.columns if one.name == TOKEN_PREFIX]
    found = []
    for key in keys:
        free = [one for one in key if not one.foreign_keys and one.name != "id"]
        if not copied_ids.intersection(one.name for one in key) and free:
            texts = [one for one in free if one.type.python_type is str]
            found.append((texts or free)[-1])
    return found


def _make_distinct(table: Table, column: Column) -> str:
    value = f't."{column.name}"'
    if isinstance(column.type, BigInteger):
        sign = "+" if column.name == "sequence" else "-"  # that of the audit is positive
        span = f"(SELECT max({column.name}) - min({column.name}) + 1 FROM {table.name})"
        return f"{value} {sign} {span} * n"
    if isinstance(column.type, Uuid):
        return _copy_id(column.name)
    if column.name.endswith(("hash", "sha256")):
        return f"encode(sha256(convert_to({value} || n || {SALT}, 'UTF8')), 'hex')"
    if column.name == TOKEN_PREFIX:
        return f"left(md5(t.id::text || n || {SALT}), length({value}))"
    return f"left({value}, {MAX_LENGTH}) || left(md5(t.id::text || n || {SALT}), 16)"


def _copy_id(column: str) -> str:
    """Return the SQL expression for the id of copy number n."""
    return f"md5(t.{column}::text || n || {SALT})::uuid"
