"""Finding a gateway: of the member's own organization, and by a board that is served by it."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Forbidden, Invalid, NotFound
from kit.paging import Page, Paging, paged
from models import Agent, Gateway, Member, User
from services import boards, organizations


async def listed(session: AsyncSession, member: Member, paging: Paging) -> Page[Gateway]:
    """Return the gateways of the member's organization, for its admins, newest first."""
    organizations.require_admin(member)
    query = select(Gateway).where(Gateway.organization_id == member.organization_id)
    return await paged(session, query.order_by(Gateway.created_at.desc(), Gateway.id), paging)


async def get(session: AsyncSession, member: Member, gateway_id: UUID) -> Gateway:
    """Return a gateway of the member's organization, for its admins.

    Raises Forbidden, and NotFound.
    """
    return await _found(session, _named(member, gateway_id))


async def hold(
    session: AsyncSession, member: Member, gateway_id: UUID, *, to_delete: bool = False
) -> Gateway:
    """Return a gateway that nobody else can change until the commit. Raises as `get` does.

    Held `to_delete`, nothing is put on it meanwhile: no board, and no agent.
    """
    held = _named(member, gateway_id).with_for_update(key_share=not to_delete)
    return await _found(session, held.execution_options(populate_existing=True))


async def for_board(
    session: AsyncSession, user: User, board_id: UUID, *, to_write: bool = False
) -> Gateway:
    """Return the gateway that serves a board, for admins of the board's organization who read it.

    `to_write` asks that they may change the board as well. Raises NotFound, Forbidden, and Invalid
    where no gateway serves it.
    """
    seen = await boards.access(session, user, board_id)
    if to_write and not seen.can_write:
        raise Forbidden("board_write_forbidden", "You may read this board, not change it.")
    if not seen.is_admin:
        raise Forbidden("admin_required", "Only an admin of the organization can do that.")
    query = select(Gateway).where(
        Gateway.id == seen.board.gateway_id,
        Gateway.organization_id == seen.board.organization_id,
    )
    gateway = await session.scalar(query)
    if gateway is None:
        raise Invalid("gateway_required", "No gateway serves this board.")
    return gateway


async def homes(session: AsyncSession, agents: Collection[Agent]) -> dict[UUID, Gateway]:
    """Return the gateways on which agents live, by their ids, for who may see these agents."""
    ids = {agent.gateway_id for agent in agents} - {None}
    if not ids:
        return {}
    found = await session.scalars(select(Gateway).where(Gateway.id.in_(ids)))
    return {gateway.id: gateway for gateway in found}


async def with_url(session: AsyncSession, member: Member, url: str) -> Gateway | None:
    """Return the oldest gateway of the member's organization that has this address, for admins."""
    organizations.require_admin(member)
    query = select(Gateway).where(
        Gateway.organization_id == member.organization_id, Gateway.url == url
    )
    return await session.scalar(query.order_by(Gateway.created_at, Gateway.id).limit(1))


def _named(member: Member, gateway_id: UUID) -> Select[Gateway]:
    """Select a gateway of the member's organization, for its admins. Raises Forbidden."""
    organizations.require_admin(member)
    return select(Gateway).where(
        Gateway.id == gateway_id, Gateway.organization_id == member.organization_id
    )


async def _found(session: AsyncSession, query: Select[Gateway]) -> Gateway:
    gateway = await session.scalar(query)
    if gateway is None:
        raise not_found()
    return gateway


def not_found() -> NotFound:
    """Make the answer to who asks for a gateway that is not there, or not for them."""
    return NotFound("gateway_not_found", "There is no such gateway.")
