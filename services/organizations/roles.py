"""What a member is and may do, and whether they stay: changed by those who look after it."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from kit.clock import now
from models import BoardAccess, EventType, Member, Organization, Role, User
from services import events
from services.organizations.belonging import own_access
from services.organizations.grants import Rights, give
from services.organizations.lists import MemberDetail, not_found
from services.organizations.rules import (
    check_may_touch,
    check_removal,
    check_role_change,
    require_admin,
)


@dataclass(frozen=True)
class HeldMember:
    """A member that an admin is about to change, while no role of the organization can change."""

    by: Member
    member: Member
    owners: int  # how many the organization has


async def hold_member(session: AsyncSession, by: Member, member_id: UUID) -> HeldMember:
    """Return a member to change, for an admin of the organization, which is held till the commit.

    The person is held before the organization, as everywhere. Who may act is looked up again once
    nobody else can change it (contract, R8). Raises NotFound and Forbidden.
    """
    lock = (
        select(Member.id)
        .join(User, User.id == Member.user_id)
        .join(Organization, Organization.id == Member.organization_id)
        .where(Member.id == member_id, Member.organization_id == by.organization_id)
        .with_for_update(key_share=True, of=[User, Organization])
    )
    if await session.scalar(lock) is None:
        raise not_found()
    people = await _members(session, by.organization_id, {by.id, member_id})
    if by.id not in people or member_id not in people:
        raise not_found()
    require_admin(people[by.id])
    owners = sum(one.role is Role.OWNER for one in people.values())
    return HeldMember(people[by.id], people[member_id], owners)


async def change_role(session: AsyncSession, held: HeldMember, role: Role) -> MemberDetail:
    """Give a held member another role. Raises Forbidden and Invalid."""
    member = held.member
    check_role_change(held.by, member, role, owners=held.owners)
    access = list(await own_access(session, member))
    if role is not member.role:
        changes = {"role": [member.role, role]}
        member.role, member.updated_at = role, now()
        await session.flush()
        await _record(session, EventType.MEMBER_UPDATED, held, {"changes": changes})
    return MemberDetail(member, access)


async def change_rights(session: AsyncSession, held: HeldMember, rights: Rights) -> MemberDetail:
    """Replace what a held member may do on boards. Raises Forbidden and Invalid."""
    member = held.member
    check_may_touch(held.by, member.role)
    before = [member.all_boards_read, member.all_boards_write]
    await session.execute(
        delete(BoardAccess).where(BoardAccess.organization_member_id == member.id)
    )
    member.updated_at = now()
    access = list(await give(session, member, rights))
    after = [member.all_boards_read, member.all_boards_write]
    changes = {"all_boards": [before, after], "board_ids": [str(one.board_id) for one in access]}
    await _record(session, EventType.MEMBER_UPDATED, held, {"changes": changes})
    return MemberDetail(member, access)


async def remove(session: AsyncSession, held: HeldMember) -> None:
    """Let a held member go. Where they worked here, they work in their oldest other organization.

    Raises Forbidden.
    """
    check_removal(held.by, held.member)
    user_id, organization_id = held.member.user_id, held.member.organization_id
    oldest = (
        select(Member.organization_id)
        .where(Member.user_id == user_id, Member.organization_id != organization_id)
        .order_by(Member.created_at, Member.id)
        .limit(1)
    )
    worked_here = User.id == user_id, User.active_organization_id == organization_id
    moved = update(User).where(*worked_here).values(active_organization_id=oldest.scalar_subquery())
    await session.execute(moved)
    await session.delete(held.member)
    await session.flush()
    await _record(session, EventType.MEMBER_REMOVED, held, {})


async def _members(
    session: AsyncSession, organization_id: UUID, member_ids: set[UUID]
) -> dict[UUID, Member]:
    """Return some members, and all owners, as they are now."""
    query = (
        select(Member)
        .join(Member.user)
        .options(contains_eager(Member.user))
        .where(Member.organization_id == organization_id)
        .where(or_(Member.id.in_(member_ids), Member.role == Role.OWNER))
        .execution_options(populate_existing=True)
    )
    return {member.id: member for member in await session.scalars(query)}


async def _record(
    session: AsyncSession, type: EventType, held: HeldMember, more: Mapping[str, object]
) -> None:
    member = held.member
    data = {"name": member.user.called, "user_id": str(member.user_id), **more}
    organization_id = member.organization_id
    await events.record(session, type, held.by.user, organization_id=organization_id, data=data)
