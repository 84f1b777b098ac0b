"""Query plans of PostgreSQL, to check that an index is used."""

import json
from collections.abc import Iterator
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect

from tests.support.round_trips import RoundTrip

GROWING_TABLES = {
    *("activity_events", "agent_event_counts", "agent_file_versions", "agent_messages"),
    *("agent_questions", "agent_runs", "agents", "approval_task_links", "approvals"),
    *("audit_records", "board_group_memory", "board_memory", "board_webhook_payloads"),
    *("coding_sessions", "event_counts", "event_origins"),
    *("gateway_config_changes", "gateway_requests", "notification_deliveries"),
    *("notifications", "read_markers", "tag_assignments", "task_comments"),
    *("task_custom_field_values", "task_dependencies", "task_descriptions", "task_links"),
    *("task_watchers", "tasks", "tool_calls", "tool_grants", "trash"),
    *("usage_facts", "user_questions", "webhook_deliveries"),
}
"""The tables whose rows become many with the work of people and agents; roll-ups have few."""

PRETENDED_ROWS = 100_000.0
PRETEND = """
    update pg_class set reltuples = greatest(reltuples, $1) where reltuples > 0 and (
        relname = any($2) or oid in (
            select indexrelid from pg_index join pg_class one on one.oid = indrelid
            where one.relname = any($2)
        )
    )
"""


async def refresh_statistics(session: Any, table: str) -> None:
    """Update the index and the statistics, so that PostgreSQL plans as for an old table."""
    await session.execute(text(f"select gin_clean_pending_list('ix_{table}_words')"))
    await session.execute(text(f"analyze {table}"))


async def explain(session: Any, query: Any) -> str:
    """Return the query plan of PostgreSQL without sequential scans."""
    await session.execute(text("set local enable_seqscan = off"))
    sql = query.compile(dialect=asyncpg_dialect.dialect(), compile_kwargs={"literal_binds": True})
    lines = await (await session.connection()).exec_driver_sql(f"explain {sql}")
    return "\n".join(lines.scalars())


async def pretend_many_rows(dsn: str) -> None:
    """Let PostgreSQL plan as if the growing tables had many rows.

    It multiplies the pages of a table by the density of its rows, which is part of the statistics.
    """
    connection = await asyncpg.connect(dsn)
    await connection.execute("vacuum analyze")
    await connection.execute(PRETEND, PRETENDED_ROWS, GROWING_TABLES)
    await connection.close()


async def list_scanned_tables(connection: asyncpg.Connection, sent: RoundTrip) -> list[str]:
    """Return the growing tables that a statement scans sequentially, with their conditions."""
    [row] = await connection.fetch(f"explain (format json) {sent.statement}", *sent.arguments)
    [plan] = json.loads(row[0])
    return [
        f"{node['Relation Name']} ({node.get('Filter', 'all rows')})"
        for node in _list_nodes(plan["Plan"])
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in GROWING_TABLES
    ]


def _list_nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _list_nodes(part)
