"""Queries for members with their rights on boards, and for the memberships of a user."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, Select, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from core.errors import Forbidden, NotFound
from core.paging import Page, Paging
from models import BoardAccess, Member, Organization, User

MEMBER_ORDER = (func.lower(User.email), User.name, Member.id)


@dataclass(frozen=True)
class MemberDetail:
    """A membership with its user loaded, and the grants on single boards, oldest first."""

    member: Member
    board_access: list[BoardAccess] = field(default_factory=list)


async def list_members(session: AsyncSession, member: Member, paging: Paging) -> Page[MemberDetail]:
    """Return the members of the organization, by e-mail and name, in one statement."""
    ranked = (
        select(Member.id, func.row_number().over(order_by=MEMBER_ORDER).label("rank"))
        .join(Member.user)
        .where(Member.organization_id == member.organization_id)
        .cte("ranked")
    )
    total = select(func.count()).select_from(ranked).scalar_subquery()
    first, last = paging.offset, paging.offset + paging.limit
    query = (
        _members_query()
        .add_columns(total)
        .join(ranked, ranked.c.id == Member.id)
        .where(ranked.c.rank > first, ranked.c.rank <= last)
        .order_by(ranked.c.rank, BoardAccess.created_at, BoardAccess.id)
    )
    rows = (await session.execute(query)).all()
    count = rows[0][-1] if rows else await session.scalar(select(total)) or 0
    return Page(_group_by_member(rows), count, paging.limit, paging.offset)


async def get_member(session: AsyncSession, member: Member, member_id: UUID) -> MemberDetail:
    """Return a member of the organization, for its admins and for that member.

    Raises NotFound and Forbidden.
    """
    query = _members_query().where(
        Member.id == member_id, Member.organization_id == member.organization_id
    )
    rows = await session.execute(query.order_by(BoardAccess.created_at, BoardAccess.id))
    found = _group_by_member(rows.all())
    if not found:
        raise member_not_found()
    if not (member.is_admin or member.id == member_id):
        raise Forbidden("admin_required", "Only an admin sees what other members may do.")
    return found[0]


def member_not_found() -> NotFound:
    """Build the error for a member that does not exist or that the caller may not see."""
    return NotFound("member_not_found", "There is no such member.")


def _members_query() -> Select[Member, BoardAccess]:
    return (
        select(Member, BoardAccess)
        .join(Member.user)
        .outerjoin(BoardAccess, BoardAccess.organization_member_id == Member.id)
        .options(contains_eager(Member.user))
        .execution_options(populate_existing=True)
    )


def _group_by_member(rows: Sequence[Any]) -> list[MemberDetail]:
    found: dict[UUID, MemberDetail] = {}
    for member, access, *_ in rows:
        detail = found.setdefault(member.id, MemberDetail(member))
        if access is not None:
            detail.board_access.append(access)
    return list(found.values())


async def find_current_membership(session: AsyncSession, user: User) -> Member | None:
    """Return the user's membership in the organization they work in, with both of them loaded.

    If they are no longer a member there, their oldest membership takes its place (contract, 1.11).
    None for a user without memberships.
    """
    member = await session.scalar(CURRENT_MEMBERSHIP, {"user_id": user.id})
    if member and member.user.active_organization_id != member.organization_id:
        chosen = update(User).where(User.id == user.id)
        await session.execute(chosen.values(active_organization_id=member.organization_id))
    return member


def current_membership_id_query(user: User) -> ScalarSelect[UUID]:
    """Return the query for the id of the current membership, for use in another query."""
    return _build_current_membership_id_query(user.id)


def _build_current_membership_id_query(user_id: Any) -> ScalarSelect[UUID]:
    is_active = Member.organization_id == User.active_organization_id
    query = select(Member.id).join(Member.user).where(Member.user_id == user_id)
    active_first = func.coalesce(is_active, False).desc()
    query = query.order_by(active_first, Member.created_at, Member.id).limit(1)
    return query.scalar_subquery().correlate(None)


async def find_membership(
    session: AsyncSession, user: User, organization_id: UUID
) -> Member | None:
    """Return the user's membership in an organization with both of them loaded, or None."""
    parameters = {"user_id": user.id, "organization_id": organization_id}
    return await session.scalar(MEMBERSHIP, parameters)


async def list_memberships(session: AsyncSession, user: User) -> Sequence[Member]:
    """Return all memberships of a user, by the organizations' names."""
    return (await session.scalars(MEMBERSHIPS_BY_NAME, {"user_id": user.id})).all()


async def list_board_access(session: AsyncSession, member: Member) -> Sequence[BoardAccess]:
    """Return the member's grants on single boards, oldest first."""
    rows = select(BoardAccess).where(BoardAccess.organization_member_id == member.id)
    return (await session.scalars(rows.order_by(BoardAccess.created_at, BoardAccess.id))).all()


MEMBERSHIPS = (
    select(Member)
    .join(Member.organization)
    .join(Member.user)
    .options(contains_eager(Member.organization), contains_eager(Member.user))
    .where(Member.user_id == bindparam("user_id"))
    .execution_options(populate_existing=True)
)
"""Selects the memberships of the user `user_id`, with organization and user loaded."""

CURRENT_MEMBERSHIP = MEMBERSHIPS.where(
    Member.id == _build_current_membership_id_query(bindparam("user_id"))
)
MEMBERSHIP = MEMBERSHIPS.where(Organization.id == bindparam("organization_id"))
MEMBERSHIPS_BY_NAME = MEMBERSHIPS.order_by(func.lower(Organization.name), Member.id)
