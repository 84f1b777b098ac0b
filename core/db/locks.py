"""Locks of names, for what no row can be locked for yet."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession


async def lock_name(session: AsyncSession, name: str) -> None:
    """Wait until no other transaction has locked a name, and lock it until the end of this one."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


async def try_lock_name(session: AsyncSession, name: str) -> bool:
    """Lock a name until the end of the transaction; return False if another one has locked it."""
    key = func.hashtextextended(name, 0)
    return bool(await session.scalar(select(func.pg_try_advisory_xact_lock(key))))
