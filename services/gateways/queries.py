"""Reads of gateways, and their status, which is derived from the stored check results."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Forbidden, Invalid, NotFound
from core.paging import Page, Paging, fetch_page
from models import Agent, Board, Event, EventType, Gateway, Member, User
from services import boards, organizations

CHECK_OK, CHECK_FAILED = "ok", "failed"
RECENT_CHECK = timedelta(seconds=20)
WORKER_HANDOVER = timedelta(minutes=1)  # a new worker takes the lease within this time


class GatewayStatus(StrEnum):
    """The status that users see."""

    UNCHECKED = "unseen"  # no check since it was created or its connection was changed
    CONNECTED = "connected"  # a worker keeps a connection
    REACHABLE = "answers"  # a recent check by a user succeeded; no worker has the lease yet
    UNMONITORED = "unwatched"  # the last check succeeded, but no worker has the lease
    FAILED = "failed"  # a check failed


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


async def list_gateways(session: AsyncSession, member: Member, paging: Paging) -> Page[Gateway]:
    """Return the gateways of the member's organization, for its admins, newest first."""
    organizations.require_admin(member)
    query = select(Gateway).where(Gateway.organization_id == member.organization_id)
    return await fetch_page(session, query.order_by(Gateway.created_at.desc(), Gateway.id), paging)


async def get_gateway(session: AsyncSession, member: Member, gateway_id: UUID) -> Gateway:
    """Return a gateway of the member's organization, for its admins.

    Raises Forbidden, and NotFound.
    """
    return await _get_one(session, _gateway_query(member, gateway_id))


async def lock_gateway(
    session: AsyncSession, member: Member, gateway_id: UUID, *, to_delete: bool = False
) -> Gateway:
    """Return a gateway, locked until the end of the transaction. Raises as `get_gateway` does.

    With `to_delete` the lock also prevents that boards and agents are added to it.
    """
    locked = _gateway_query(member, gateway_id).with_for_update(key_share=not to_delete)
    return await _get_one(session, locked.execution_options(populate_existing=True))


async def get_board_gateway(
    session: AsyncSession, user: User, board_id: UUID, *, to_write: bool = False
) -> Gateway:
    """Return the gateway of a board, for admins who can read the board.

    With `to_write` they must be able to change the board. Raises NotFound, Forbidden, and Invalid
    if the board has no gateway.
    """
    permissions = await boards.get_board_permissions(session, user, board_id)
    if to_write and not permissions.can_write:
        raise Forbidden("board_write_forbidden", "You may read this board, not change it.")
    if not permissions.is_admin:
        raise Forbidden("admin_required", "Only an admin of the organization can do that.")
    query = select(Gateway).where(
        Gateway.id == permissions.board.gateway_id,
        Gateway.organization_id == permissions.board.organization_id,
    )
    gateway = await session.scalar(query)
    if gateway is None:
        raise Invalid("gateway_required", "No gateway serves this board.")
    return gateway


async def load_agent_gateways(
    session: AsyncSession, agents: Collection[Agent]
) -> dict[UUID, Gateway]:
    """Return the gateways of agents, by id. The caller has checked access to the agents."""
    ids = {agent.gateway_id for agent in agents} - {None}
    if not ids:
        return {}
    found = await session.scalars(select(Gateway).where(Gateway.id.in_(ids)))
    return {gateway.id: gateway for gateway in found}


async def find_gateway_by_url(session: AsyncSession, member: Member, url: str) -> Gateway | None:
    """Return the oldest gateway with this address in an admin's organization, if there is one."""
    organizations.require_admin(member)
    query = select(Gateway).where(
        Gateway.organization_id == member.organization_id, Gateway.url == url
    )
    return await session.scalar(query.order_by(Gateway.created_at, Gateway.id).limit(1))


def _gateway_query(member: Member, gateway_id: UUID) -> Select[Gateway]:
    """Return a query of a gateway in an admin's organization. Raises Forbidden."""
    organizations.require_admin(member)
    return select(Gateway).where(
        Gateway.id == gateway_id, Gateway.organization_id == member.organization_id
    )


async def _get_one(session: AsyncSession, query: Select[Gateway]) -> Gateway:
    gateway = await session.scalar(query)
    if gateway is None:
        raise gateway_not_found()
    return gateway


def gateway_not_found() -> NotFound:
    """Return the error for a gateway that does not exist or is not accessible."""
    return NotFound("gateway_not_found", "There is no such gateway.")


async def list_gateway_summaries(session: AsyncSession, member: Member) -> Sequence[GatewaySummary]:
    """Return the summaries of an organization's gateways by name, for its admins."""
    query = _summary_query(member).order_by(func.lower(Gateway.name), Gateway.id)
    return [_make_summary(*row) for row in await session.execute(query)]


async def get_gateway_summary(
    session: AsyncSession, member: Member, gateway_id: UUID
) -> GatewaySummary:
    """Return the summary of a gateway, for admins. Raises Forbidden and NotFound."""
    query = _summary_query(member).where(Gateway.id == gateway_id)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise gateway_not_found()
    return _make_summary(*row)


async def count_gateways(session: AsyncSession, member: Member) -> tuple[int, int]:
    """Return the number of gateways of an organization, and of those with a failed check."""
    is_down = Gateway.checks.contains([{"state": CHECK_FAILED}])
    query = select(func.count(Gateway.id), func.count(Gateway.id).filter(is_down))
    own = query.where(Gateway.organization_id == member.organization_id)
    total, down = (await session.execute(own)).one()
    return total, down


async def find_token_set_at(session: AsyncSession, gateway: Gateway) -> datetime | None:
    """Return when the gateway's token was set; None if it has none or no event says so."""
    if gateway.encrypted_token is None:
        return None
    is_created = Event.type == EventType.GATEWAY_CREATED
    is_changed = Event.data["changed"].contains(["token"])
    query = select(func.max(Event.created_at)).where(
        Event.organization_id == gateway.organization_id,
        Event.type.in_((EventType.GATEWAY_CREATED, EventType.GATEWAY_UPDATED)),
        Event.data["gateway_id"].astext == str(gateway.id),
        or_(is_created, is_changed),
    )
    at: datetime | None = await session.scalar(query)
    return at


def _summary_query(member: Member) -> Select[Gateway, int, int]:
    """Return a query of gateways with their numbers of boards and agents. Raises Forbidden."""
    organizations.require_admin(member)
    boards = select(func.count()).where(Board.gateway_id == Gateway.id).scalar_subquery()
    is_on_board = (Agent.gateway_id == Gateway.id) & Agent.board_id.is_not(None)
    agents = select(func.count()).where(is_on_board).scalar_subquery()
    query = select(Gateway, boards, agents)
    return query.where(Gateway.organization_id == member.organization_id)


def _make_summary(gateway: Gateway, boards: int, agents: int) -> GatewaySummary:
    at = now()
    return GatewaySummary(
        gateway,
        gateway_status(gateway, at),
        since=status_since(gateway),
        last_contact_at=last_contact_at(gateway, at),
        board_count=boards,
        agent_count=agents,
        is_leased=is_leased(gateway, at),
    )


def gateway_status(gateway: Gateway, moment: datetime) -> GatewayStatus:
    """Return the status of a gateway at a moment."""
    if gateway.checks is None:
        return GatewayStatus.UNCHECKED
    if failing_check(gateway) is not None:
        return GatewayStatus.FAILED
    if is_leased(gateway, moment):
        return GatewayStatus.CONNECTED
    checked_at = gateway.checked_at
    is_recent = checked_at is not None and moment - checked_at < RECENT_CHECK
    return GatewayStatus.REACHABLE if is_recent else GatewayStatus.UNMONITORED


def is_leased(gateway: Gateway, moment: datetime) -> bool:
    """Return whether a worker keeps a connection to a gateway, or keeps trying to."""
    return gateway.lease_expires_at is not None and gateway.lease_expires_at > moment


def failing_check(gateway: Gateway) -> Mapping[str, Any] | None:
    """Return the failed check, if there is one."""
    checks = gateway.checks or []
    return next((check for check in checks if check["state"] == CHECK_FAILED), None)


def status_since(gateway: Gateway) -> datetime | None:
    """Return since when all checks succeed, or since when the failed one fails."""
    failed = failing_check(gateway)
    times = _since_times([failed] if failed else gateway.checks or [])
    return max(times, default=None)


def unreachable_since(gateway: Gateway, moment: datetime) -> datetime | None:
    """Return since when the state of the gateway's agents is unknown; None if it is known."""
    status, checked_at = gateway_status(gateway, moment), gateway.checked_at
    if status is GatewayStatus.FAILED:
        return status_since(gateway)
    if status is not GatewayStatus.UNMONITORED or checked_at is None:
        return None
    return checked_at if moment - checked_at > WORKER_HANDOVER else None


def last_contact_at(gateway: Gateway, moment: datetime) -> datetime | None:
    """Return when the gateway was last reachable, as far as we know; None if it never was.

    When a check fails, the checks after it are unknown from that time on.
    """
    status = gateway_status(gateway, moment)
    if status is GatewayStatus.CONNECTED:
        return moment
    if status in (GatewayStatus.REACHABLE, GatewayStatus.UNMONITORED):
        return gateway.checked_at
    if gateway.gateway_version is None:
        return None
    not_ok = [check for check in gateway.checks or [] if check["state"] != CHECK_OK]
    return min(_since_times(not_ok), default=None)


def _since_times(checks: Iterable[Mapping[str, Any]]) -> list[datetime]:
    return [datetime.fromisoformat(check["since"]) for check in checks if check.get("since")]
