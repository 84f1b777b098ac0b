"""Leases: which worker process keeps the connection to a gateway.

A lease ends by itself, so that another process takes over when its holder has crashed.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import Gateway


async def acquire_leases(
    session: AsyncSession, holder: str, duration: timedelta
) -> Sequence[Gateway]:
    """Acquire or renew the lease of every gateway that no other process holds; return these.

    Of two processes at the same time, one gets a lease. The row locks do not wait for transactions
    that insert rows referring to a gateway, for example runs: leases would expire meanwhile.
    """
    at = now()
    is_free = or_(
        Gateway.lease_holder == holder,
        Gateway.lease_expires_at.is_(None),
        Gateway.lease_expires_at < at,
    )
    ids = select(Gateway.id).where(is_free).order_by(Gateway.id)
    is_locked = Gateway.id.in_(ids.with_for_update(key_share=True))
    leased = update(Gateway).where(is_locked)
    leased = leased.values(lease_holder=holder, lease_expires_at=at + duration)
    fresh = leased.returning(Gateway).execution_options(populate_existing=True)
    return (await session.scalars(fresh)).all()


async def release_leases(session: AsyncSession, holder: str) -> None:
    """Release all leases of a process."""
    held = update(Gateway).where(Gateway.lease_holder == holder)
    await session.execute(held.values(lease_holder=None, lease_expires_at=None))
