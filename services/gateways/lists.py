"""The gateways of an organization as its admins see them: each with what it serves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Agent, Board, Event, EventType, Gateway, Member
from services import organizations
from services.gateways.finding import not_found
from services.standing import (
    FAILED,
    Standing,
    is_watched,
    last_contact,
    standing,
    stands_so_since,
)


@dataclass(frozen=True)
class GatewaySummary:
    """A gateway in one line: how it stands, and how much it serves."""

    gateway: Gateway
    standing: Standing
    since: datetime | None  # when it began to stand so
    last_contact: datetime | None
    boards: int
    agents: int  # besides the one that looks after it
    is_watched: bool  # what is known of it is seconds old


async def summaries(session: AsyncSession, member: Member) -> Sequence[GatewaySummary]:
    """Return the gateways of the member's organization, for its admins, by name."""
    query = _summary_rows(member).order_by(func.lower(Gateway.name), Gateway.id)
    return [_summary(*row) for row in await session.execute(query)]


async def summary(session: AsyncSession, member: Member, gateway_id: UUID) -> GatewaySummary:
    """Return one gateway in one line, for admins. Raises Forbidden, and NotFound."""
    query = _summary_rows(member).where(Gateway.id == gateway_id)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise not_found()
    return _summary(*row)


async def counts(session: AsyncSession, member: Member) -> tuple[int, int]:
    """Return how many gateways the organization has, and how many of them cannot be reached."""
    is_down = Gateway.checks.contains([{"state": FAILED}])
    query = select(func.count(Gateway.id), func.count(Gateway.id).filter(is_down))
    of_organization = query.where(Gateway.organization_id == member.organization_id)
    total, down = (await session.execute(of_organization)).one()
    return total, down


async def token_set_at(session: AsyncSession, gateway: Gateway) -> datetime | None:
    """Return when the gateway's token was entered; None if it has none, or nobody knows."""
    if gateway.sealed_token is None:
        return None
    entered = Event.type == EventType.GATEWAY_CREATED
    changed = Event.data["changed"].contains(["token"])
    query = select(func.max(Event.created_at)).where(
        Event.organization_id == gateway.organization_id,
        Event.type.in_((EventType.GATEWAY_CREATED, EventType.GATEWAY_UPDATED)),
        Event.data["gateway_id"].astext == str(gateway.id),
        or_(entered, changed),
    )
    at: datetime | None = await session.scalar(query)
    return at


def _summary_rows(member: Member) -> Select[Gateway, int, int]:
    """Select the organization's gateways, each with how much it serves. Raises Forbidden."""
    organizations.require_admin(member)
    boards = select(func.count()).where(Board.gateway_id == Gateway.id).scalar_subquery()
    works = (Agent.gateway_id == Gateway.id) & Agent.board_id.is_not(None)
    agents = select(func.count()).where(works).scalar_subquery()
    query = select(Gateway, boards, agents)
    return query.where(Gateway.organization_id == member.organization_id)


def _summary(gateway: Gateway, boards: int, agents: int) -> GatewaySummary:
    at = now()
    return GatewaySummary(
        gateway,
        standing(gateway, at),
        since=stands_so_since(gateway),
        last_contact=last_contact(gateway, at),
        boards=boards,
        agents=agents,
        is_watched=is_watched(gateway, at),
    )
