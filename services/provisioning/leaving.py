"""Gateways are left for good: what they have of ours outlives here whatever it belonged to.

A row remains that says how the gateway is reached and whom it is to be rid of, and nothing else.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Interval, cast, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Agent, Gateway, GatewayDeparture, GatewayLeftover, Reached
from services.provisioning.asking import KEY, WAS_BROUGHT
from services.provisioning.rules import COMING

AT_ONCE = 20  # gateways in one look
FIRST_REST = timedelta(seconds=30)  # longer than a try takes; each rest is twice as long
LONGEST_REST = timedelta(minutes=10)
MOST_DOUBLED = 10  # times; PostgreSQL knows no interval as long as that of a few days of tries
PATIENCE = timedelta(days=7)  # after which nobody tries any more

HOW = tuple(Reached.__annotations__)
"""The columns that say how a gateway is reached."""


def departing(which: ColumnElement[bool]) -> Insert:
    """Have gateways that are about to be deleted here be rid of all agents that we brought there.

    Whoever asks for it holds these gateways and their agents.
    """
    at = now()
    brought = select(Agent.gateway_id, KEY.label("key")).where(WAS_BROUGHT, KEY != "")
    left = select(GatewayLeftover.gateway_id, GatewayLeftover.agent_key)
    ours = brought.union(left).subquery("ours")
    how = [getattr(Gateway, name) for name in ("id", *HOW)]
    rows = (
        select(*how, func.jsonb_agg(ours.c.key), literal(0), literal(at), literal(at))
        .join(ours, ours.c.gateway_id == Gateway.id)
        .where(which)
        .group_by(Gateway.id)
    )
    columns = ["id", *HOW, "agent_keys", "attempts", "next_try_at", "created_at"]
    return insert(GatewayDeparture).from_select(columns, rows)


async def departures(session: AsyncSession, moment: datetime) -> Sequence[GatewayDeparture]:
    """Return the gateways that are to be asked now; for a while nobody else gets them.

    The try counts already, so none is made more often than it says, whatever becomes of it.
    """
    due = (
        select(GatewayDeparture.id)
        .where(GatewayDeparture.next_try_at <= moment)
        .order_by(GatewayDeparture.next_try_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    doubled = func.power(2, func.least(GatewayDeparture.attempts, MOST_DOUBLED))
    rest = func.least(FIRST_REST * doubled, LONGEST_REST)
    tried = {
        "attempts": GatewayDeparture.attempts + 1,
        "next_try_at": literal(moment) + cast(rest, Interval),
    }
    taken = update(GatewayDeparture).where(GatewayDeparture.id.in_(due)).values(**tried)
    return (await session.scalars(taken.returning(GatewayDeparture))).all()


async def departed(
    session: AsyncSession, departure: GatewayDeparture, asked_at: datetime, error: str | None
) -> None:
    """Write down what came of it. A gateway is left when it had nothing of ours at last.

    What it was asked to make just before may still be coming, so it is asked once more.
    """
    row = GatewayDeparture.id == departure.id
    if error is None and asked_at >= departure.created_at + COMING:
        await session.execute(delete(GatewayDeparture).where(row))
    else:
        await session.execute(update(GatewayDeparture).where(row).values(last_error=error))


async def give_up(session: AsyncSession, moment: datetime) -> Sequence[GatewayDeparture]:
    """Forget the gateways that were tried in vain for too long, and return them."""
    in_vain = (GatewayDeparture.attempts > 0) & (GatewayDeparture.next_try_at <= moment)
    late = delete(GatewayDeparture).where(in_vain, GatewayDeparture.created_at < moment - PATIENCE)
    return (await session.scalars(late.returning(GatewayDeparture))).all()
