"""The groups of boards that somebody sees."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.paging import Page, Paging, paged
from models import BoardGroup, Member
from services.board_groups.access import seen_by


async def listed(session: AsyncSession, member: Member, paging: Paging) -> Page[BoardGroup]:
    """Return the groups of the member's organization that they may read, by name."""
    of_theirs = Member.organization_id == member.organization_id
    seen = seen_by(member.user).where(of_theirs).subquery()
    query = select(BoardGroup).join(seen, seen.c.id == BoardGroup.id).where(seen.c.reads)
    by_name = (func.lower(BoardGroup.name), BoardGroup.created_at, BoardGroup.id)
    return await paged(session, query.order_by(*by_name), paging)
