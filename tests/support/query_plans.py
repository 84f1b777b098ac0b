"""Query plans of PostgreSQL, to check that an index is used."""

import json
from collections.abc import Iterator
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect

from models import Base
from tests.support.round_trips import RoundTrip

SMALL_TABLES = {
    *("approval_policies", "board_onboarding_messages", "board_onboarding_sessions"),
    *("audit_anchors", "encryption_keys", "event_retention", "external_identities"),
    *("first_run_links", "gateway_installed_skills"),
    *("gateways", "marketplace_skills", "message_hours", "organization_invite_board_access"),
    *("organization_invites", "organizations", "public_addresses", "revoked_api_tokens"),
    *("skill_pack_updates", "skill_packs", "skill_versions", "soul_directories", "souls"),
    *("task_custom_field_definitions", "webhook_endpoints", "write_checks"),
}
"""The tables that have few rows, however long people and agents work."""
PLACES_AND_PEOPLE = {
    *(
        "board_group_counts",
        "board_groups",
        "board_shortcuts",
        "boards",
        "client_connections",
        "default_views",
    ),
    *("notification_preferences", "notification_settings", "organization_board_access"),
    *("organization_members", "presences", "users"),
}
"""The tables that grow only with boards and people: what is about all boards joins them whole."""
GROWING_TABLES = set(Base.metadata.tables) - SMALL_TABLES - PLACES_AND_PEOPLE

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
