"""Where somebody is a member, and which organization they work in (contract, 1.11)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from models import BoardAccess, Member, Organization, User


async def current(session: AsyncSession, user: User) -> Member | None:
    """Return the person's membership in the organization they work in, with both of them loaded.

    Where they are no longer a member, their oldest membership takes its place. None for somebody
    who is a member nowhere.
    """
    member = await session.scalar(_memberships(user).where(Member.id == current_id(user)))
    if member and member.user.active_organization_id != member.organization_id:
        chosen = update(User).where(User.id == user.id)
        await session.execute(chosen.values(active_organization_id=member.organization_id))
    return member


def current_id(user: User) -> ScalarSelect[UUID]:
    """Select the id of the membership that `current` returns, for use in another query."""
    is_active = Member.organization_id == User.active_organization_id
    query = select(Member.id).join(Member.user).where(Member.user_id == user.id)
    active_first = func.coalesce(is_active, False).desc()
    query = query.order_by(active_first, Member.created_at, Member.id).limit(1)
    return query.scalar_subquery().correlate(None)


async def membership(session: AsyncSession, user: User, organization_id: UUID) -> Member | None:
    """Return a person's membership in an organization, with both of them loaded."""
    return await session.scalar(_memberships(user).where(Organization.id == organization_id))


async def memberships(session: AsyncSession, user: User) -> Sequence[Member]:
    """Return all memberships of a person, by the organizations' names."""
    query = _memberships(user).order_by(func.lower(Organization.name), Member.id)
    return (await session.scalars(query)).all()


async def own_access(session: AsyncSession, member: Member) -> Sequence[BoardAccess]:
    """Return the member's own rights on single boards, oldest first."""
    rows = select(BoardAccess).where(BoardAccess.organization_member_id == member.id)
    return (await session.scalars(rows.order_by(BoardAccess.created_at, BoardAccess.id))).all()


def _memberships(user: User) -> Select[Any]:
    return (
        select(Member)
        .join(Member.organization)
        .join(Member.user)
        .options(contains_eager(Member.organization), contains_eager(Member.user))
        .where(Member.user_id == user.id)
        .execution_options(populate_existing=True)
    )
