"""Query plans of PostgreSQL, to check that an index is used."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import asyncpg


async def refresh_statistics(session: Any, table: str) -> None:
    """Update the index and the statistics, so that PostgreSQL plans as for an old table."""
    await session.execute(text(f"select gin_clean_pending_list('ix_{table}_words')"))
    await session.execute(text(f"analyze {table}"))


async def explain(session: Any, query: Any) -> str:
    """Return the query plan of PostgreSQL without sequential scans."""
    await session.execute(text("set local enable_seqscan = off"))
    sql = query.compile(dialect=asyncpg.dialect(), compile_kwargs={"literal_binds": True})
    lines = await (await session.connection()).exec_driver_sql(f"explain {sql}")
    return "\n".join(lines.scalars())
