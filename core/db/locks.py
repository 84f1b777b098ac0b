"""Locks of names, for what no row can be locked for yet."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession


async def lock_name(session: AsyncSession, name: str) -> None:
    """Wait until no other transaction has locked a name, and lock it until the end of this one."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
