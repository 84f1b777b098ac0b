"""Reads of gateways."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    ScalarSelect,
    Select,
    Uuid,
    bindparam,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.errors import Forbidden, Invalid, NotFound
from core.paging import Page, PagedQuery, Paging
from core.text import N_
from models import AGENT_LOCK_ORDER, Agent, Board, Event, EventType, Gateway, Member, User
from services import boards, gateway_status, organizations
from services.gateway_status import GatewayStatus


@dataclass(frozen=True)
class GatewaySummary:
    """A gateway with its status and the number of its boards and agents."""

    gateway: Gateway
    status: GatewayStatus
    since: datetime | None  # the status applies
    last_contact_at: datetime | None
    board_count: int
    agent_count: int  # without the one that manages the gateway
    is_leased: bool  # the check results are seconds old


IN_ORGANIZATION = select(Gateway).where(Gateway.organization_id == bindparam("organization_id"))
GATEWAYS: PagedQuery[Gateway] = PagedQuery(
    IN_ORGANIZATION.order_by(Gateway.created_at.desc(), Gateway.id), itemgetter(0)
)
GATEWAY: Query[Gateway] = Query(
    IN_ORGANIZATION.where(Gateway.id == bindparam("gateway_id")), itemgetter(0)
)
GATEWAYS_BY_ID: Query[Gateway] = Query(
    select(Gateway).where(Gateway.id == func.any(bindparam("gateway_ids", type_=ARRAY(Uuid())))),
    itemgetter(0),
)
GATEWAY_BY_URL: Query[Gateway] = Query(
    IN_ORGANIZATION.where(Gateway.url == bindparam("url"))
    .order_by(Gateway.created_at, Gateway.id)
    .limit(1),
    itemgetter(0),
)


async def list_gateways(source: Source, member: Member, paging: Paging) -> Page[Gateway]:
    """Return the gateways of the member's organization, for its admins, newest first."""
    organizations.require_admin(member)
    return await GATEWAYS.fetch_page(source, paging, organization_id=member.organization_id)


async def get_gateway(source: Source, member: Member, gateway_id: UUID) -> Gateway:
    """Return a gateway of the member's organization, for its admins.

    Raises Forbidden, and NotFound.
    """
    organizations.require_admin(member)
    gateway = await GATEWAY.first(
        source, organization_id=member.organization_id, gateway_id=gateway_id
    )
    if gateway is None:
        raise gateway_not_found()
    return gateway


async def lock_gateway(
    session: AsyncSession, member: Member, gateway_id: UUID, *, to_delete: bool = False
) -> Gateway:
    """Return a gateway, locked until the end of the transaction. Raises as `get_gateway` does.

    With `to_delete` the lock also prevents that boards and agents are added to it.
    """
    organizations.require_admin(member)
    query = select(Gateway).where(
        Gateway.id == gateway_id, Gateway.organization_id == member.organization_id
    )
    locked = query.with_for_update(key_share=not to_delete)
    gateway = await session.scalar(locked.execution_options(populate_existing=True))
    if gateway is None:
        raise gateway_not_found()
    return gateway


def build_kept_agents_query(gateway_id: UUID, where: ColumnElement[bool]) -> Select[Agent]:
    """Build the query of agents that a gateway reports about, and whose deletion waits for it.

    So does that of the gateway and of their boards: rows about agents refer to both. Agents of
    boards that are being deleted are left out.
    """
    key_share: Any = {"read": True, "key_share": True}
    board_query = select(Board.id).where(Board.id.in_(select(Agent.board_id).where(where)))
    board_query = board_query.order_by(Board.id).with_for_update(**key_share, skip_locked=True)
    kept_boards = board_query.cte("kept_boards")
    gateway = select(Gateway.id).where(Gateway.id == gateway_id, _count(kept_boards) >= 0)
    kept_gateway = gateway.with_for_update(**key_share).cte("kept_gateway")
    query = select(Agent).where(
        where,
        _count(kept_gateway) > 0,
        or_(Agent.board_id.is_(None), Agent.board_id.in_(select(kept_boards.c.id))),
    )
    return query.order_by(*AGENT_LOCK_ORDER).with_for_update(**key_share, of=Agent)


def _count(rows: CTE) -> ScalarSelect[int]:
    return select(func.count()).select_from(rows).scalar_subquery()


async def get_board_gateway(
    source: Source, user: User, board_id: UUID, *, to_write: bool = False
) -> Gateway:
    """Return the gateway of a board, for admins who can read the board.

    With `to_write` they must be able to change the board. Raises NotFound, Forbidden, and Invalid
    if the board has no gateway.
    """
    permissions = await boards.get_board_permissions(source, user, board_id)
    if to_write and not permissions.can_write:
        raise Forbidden("board_write_forbidden", N_("You can read this board but not change it."))
    if not permissions.is_admin:
        raise Forbidden("admin_required", N_("Only an admin of the organization can do that."))
    board = permissions.board
    gateway = await GATEWAY.first(
        source, organization_id=board.organization_id, gateway_id=board.gateway_id
    )
    if gateway is None:
        raise Invalid("gateway_required", N_("No gateway serves this board."))
    return gateway


async def load_agent_gateways(source: Source, agents: Collection[Agent]) -> dict[UUID, Gateway]:
    """Return the gateways of agents, by id. The caller has checked access to the agents."""
    ids = {agent.gateway_id for agent in agents} - {None}
    if not ids:
        return {}
    found = await GATEWAYS_BY_ID.fetch(source, gateway_ids=list(ids))
    return {gateway.id: gateway for gateway in found}


async def find_gateway_by_url(source: Source, member: Member, url: str) -> Gateway | None:
    """Return the oldest gateway with this address in an admin's organization, if there is one."""
    organizations.require_admin(member)
    return await GATEWAY_BY_URL.first(source, organization_id=member.organization_id, url=url)


def gateway_not_found() -> NotFound:
    """Return the error for a gateway that does not exist or is not accessible."""
    return NotFound("gateway_not_found", N_("There is no such gateway."))


async def list_gateway_summaries(source: Source, member: Member) -> Sequence[GatewaySummary]:
    """Return the summaries of an organization's gateways by name, for its admins."""
    organizations.require_admin(member)
    return await SUMMARIES.fetch(source, organization_id=member.organization_id)


async def get_gateway_summary(source: Source, member: Member, gateway_id: UUID) -> GatewaySummary:
    """Return the summary of a gateway, for admins. Raises Forbidden and NotFound."""
    organizations.require_admin(member)
    summary = await SUMMARY.first(
        source, organization_id=member.organization_id, gateway_id=gateway_id
    )
    if summary is None:
        raise gateway_not_found()
    return summary


async def find_token_set_at(source: Source, gateway: Gateway) -> datetime | None:
    """Return when the gateway's token was set; None if it has none or no event says so."""
    if gateway.encrypted_token is None:
        return None
    [at] = await TOKEN_SET_AT.fetch(
        source, organization_id=gateway.organization_id, gateway_id=str(gateway.id)
    )
    return at


TOKEN_SET_AT: Query[datetime | None] = Query(
    select(func.max(Event.created_at)).where(
        Event.organization_id == bindparam("organization_id"),
        Event.type.in_((EventType.GATEWAY_CREATED, EventType.GATEWAY_UPDATED)),
        Event.data["gateway_id"].astext == bindparam("gateway_id"),
        or_(
            Event.type == EventType.GATEWAY_CREATED,
            Event.data["changed"].contains(["token"]),
        ),
    ),
    itemgetter(0),
)


def _build_summary(row: tuple[Gateway, int, int]) -> GatewaySummary:
    (gateway, boards, agents), at = row, now()
    return GatewaySummary(
        gateway,
        gateway_status.compute_status(gateway, at),
        since=gateway_status.status_since(gateway),
        last_contact_at=gateway_status.last_contact_at(gateway, at),
        board_count=boards,
        agent_count=agents,
        is_leased=gateway_status.is_leased(gateway, at),
    )


BOARD_COUNT = select(func.count()).where(Board.gateway_id == Gateway.id).scalar_subquery()
AGENT_COUNT = (
    select(func.count())
    .where(Agent.gateway_id == Gateway.id, Agent.board_id.is_not(None))
    .scalar_subquery()
)
WITH_COUNTS = select(Gateway, BOARD_COUNT, AGENT_COUNT).where(
    Gateway.organization_id == bindparam("organization_id")
)
SUMMARIES = Query(WITH_COUNTS.order_by(func.lower(Gateway.name), Gateway.id), _build_summary)
SUMMARY = Query(WITH_COUNTS.where(Gateway.id == bindparam("gateway_id")), _build_summary)
