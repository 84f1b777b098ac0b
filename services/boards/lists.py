"""The boards that somebody sees."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.paging import Page, Paging, paged
from models import Agent, Board, Member
from services.boards.access import readable


async def listed(
    session: AsyncSession,
    member: Member,
    paging: Paging,
    *,
    gateway_id: UUID | None = None,
    board_group_id: UUID | None = None,
) -> Page[Board]:
    """Return the boards of the member's organization that they read, by name."""
    query = select(Board).where(Board.id.in_(readable(member.user, member.organization_id)))
    if gateway_id is not None:
        query = query.where(Board.gateway_id == gateway_id)
    if board_group_id is not None:
        query = query.where(Board.board_group_id == board_group_id)
    order = (func.lower(Board.name), Board.created_at.desc(), Board.id)
    return await paged(session, query.order_by(*order), paging)


async def listed_for_agent(session: AsyncSession, agent: Agent, paging: Paging) -> Page[Board]:
    """Return the boards that an agent works on, newest first."""
    query = select(Board).where(Board.id.in_(readable(agent, agent.organization_id)))
    return await paged(session, query.order_by(Board.created_at.desc(), Board.id), paging)
