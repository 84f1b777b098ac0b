"""Checksums of all tables, with which a test states that a request has changed nothing."""

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from models import Base

SEEN_ONLY = ("last_seen_at", "last_used_at")
"""Columns that every call changes, even a rejected one."""
SEEN_WITH_TABLE = {"agents": (*SEEN_ONLY, "updated_at")}
"""The same, for tables with more of them."""


def build_checksum(table: str) -> str:
    """Return a statement for the checksum of a table."""
    ignored = ",".join(SEEN_WITH_TABLE.get(table, SEEN_ONLY))
    return (
        f"select '{table}', md5(string_agg(r, ',' order by r))"
        f" from (select (to_jsonb(t) - '{{{ignored}}}'::text[])::text r from {table} t)"
    )


CHECKSUMS = text(
    " union all ".join(
        build_checksum(table.name)
        for table in Base.metadata.sorted_tables
        if table.name != "audit_records"
    )
)
"""A checksum of every table, so that no change is missed.

The audit is left out: it records that a request was refused.
"""


async def compute_checksums(session: AsyncSession) -> Mapping[str, str | None]:
    return dict((await session.execute(CHECKSUMS)).all())
