"""Who holds a gateway: one process at a time, by a lease in its row that has to be renewed."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Gateway


async def claim(session: AsyncSession, holder: str, lease: timedelta) -> Sequence[Gateway]:
    """Hold every gateway that nobody else holds, for as long as the lease, and return them.

    Who claims again in time keeps what it has. Of two who claim at once, one gets it. Who writes
    down something that is of a gateway, as a run, is not waited for: a lease would be over by then.
    """
    at = now()
    free = or_(Gateway.held_by == holder, Gateway.held_until.is_(None), Gateway.held_until < at)
    ids = select(Gateway.id).where(free).order_by(Gateway.id)
    mine = Gateway.id.in_(ids.with_for_update(key_share=True))
    held = update(Gateway).where(mine).values(held_by=holder, held_until=at + lease)
    fresh = held.returning(Gateway).execution_options(populate_existing=True)
    return (await session.scalars(fresh)).all()


async def let_go(session: AsyncSession, holder: str) -> None:
    """Leave to others all that this process holds."""
    mine = update(Gateway).where(Gateway.held_by == holder)
    await session.execute(mine.values(held_by=None, held_until=None))
