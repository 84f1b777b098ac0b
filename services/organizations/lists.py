"""The members of an organization, each with what they may do on single boards."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from kit.errors import Forbidden, NotFound
from kit.paging import Page, Paging
from models import BoardAccess, Member, User

BY_EMAIL = (func.lower(User.email), User.name, Member.id)


@dataclass(frozen=True)
class MemberDetail:
    """A membership, with its person loaded, and the rights on single boards, oldest first."""

    member: Member
    board_access: list[BoardAccess] = field(default_factory=list)


async def listed(session: AsyncSession, member: Member, paging: Paging) -> Page[MemberDetail]:
    """Return the members of the member's organization, by e-mail and name, in one statement."""
    everybody = (
        select(Member.id, func.row_number().over(order_by=BY_EMAIL).label("place"))
        .join(Member.user)
        .where(Member.organization_id == member.organization_id)
        .cte("everybody")
    )
    total = select(func.count()).select_from(everybody).scalar_subquery()
    first, last = paging.offset, paging.offset + paging.limit
    query = (
        _with_access()
        .add_columns(total)
        .join(everybody, everybody.c.id == Member.id)
        .where(everybody.c.place > first, everybody.c.place <= last)
        .order_by(everybody.c.place, BoardAccess.created_at, BoardAccess.id)
    )
    rows = (await session.execute(query)).all()
    count = rows[0][-1] if rows else await session.scalar(select(total)) or 0
    return Page(_details(rows), count, paging.limit, paging.offset)


async def one(session: AsyncSession, member: Member, member_id: UUID) -> MemberDetail:
    """Return a member of the member's organization, for its admins and for the one it is.

    Raises NotFound and Forbidden.
    """
    query = _with_access().where(
        Member.id == member_id, Member.organization_id == member.organization_id
    )
    rows = await session.execute(query.order_by(BoardAccess.created_at, BoardAccess.id))
    found = _details(rows.all())
    if not found:
        raise not_found()
    if not (member.is_admin or member.id == member_id):
        raise Forbidden("admin_required", "Only an admin sees what other members may do.")
    return found[0]


def not_found() -> NotFound:
    """Make the answer to who asks for a member that is not there, or not for them."""
    return NotFound("member_not_found", "There is no such member.")


def _with_access() -> Select[Member, BoardAccess]:
    return (
        select(Member, BoardAccess)
        .join(Member.user)
        .outerjoin(BoardAccess, BoardAccess.organization_member_id == Member.id)
        .options(contains_eager(Member.user))
        .execution_options(populate_existing=True)
    )


def _details(rows: Sequence[Any]) -> list[MemberDetail]:
    found: dict[UUID, MemberDetail] = {}
    for member, access, *_ in rows:
        detail = found.setdefault(member.id, MemberDetail(member))
        if access is not None:
            detail.board_access.append(access)
    return list(found.values())
