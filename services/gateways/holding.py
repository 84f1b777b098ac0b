"""Who holds a gateway: one process at a time, by a lease in its row that has to be renewed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import EventType, Gateway
from services import events
from services.gateways.checking import Look


async def claim(session: AsyncSession, holder: str, lease: timedelta) -> Sequence[Gateway]:
    """Hold every gateway that nobody else holds, for as long as the lease, and return them.

    Who claims again in time keeps what it has. Of two who claim at once, one gets it.
    """
    at = now()
    free = or_(Gateway.held_by == holder, Gateway.held_until.is_(None), Gateway.held_until < at)
    ids = select(Gateway.id).where(free).order_by(Gateway.id).with_for_update()
    held = update(Gateway).where(Gateway.id.in_(ids)).values(held_by=holder, held_until=at + lease)
    fresh = held.returning(Gateway).execution_options(populate_existing=True)
    return (await session.scalars(fresh)).all()


async def let_go(session: AsyncSession, holder: str) -> None:
    """Leave to others all that this process holds."""
    mine = update(Gateway).where(Gateway.held_by == holder)
    await session.execute(mine.values(held_by=None, held_until=None))


async def note(session: AsyncSession, gateway: Gateway, look: Look) -> None:
    """Write down how a gateway that is held stands now, unless it was changed meanwhile.

    That it stands as before is no event.
    """
    query = select(Gateway).where(Gateway.id == gateway.id, Gateway.version == gateway.version)
    query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    row = await session.scalar(query)
    if row is None:
        return
    seen: dict[str, Any] = look.columns() | {"checks": look.rungs_after(row.checks)}
    is_news = row.checks != seen["checks"]
    for name, value in seen.items():
        setattr(row, name, value)
    await session.flush()
    if is_news:
        data = {"gateway_id": str(row.id), "name": row.name, "changed": ["checks"]}
        type, organization_id = EventType.GATEWAY_UPDATED, row.organization_id
        await events.record_all(
            session, [events.Happened(type, None, organization_id=organization_id, data=data)]
        )
