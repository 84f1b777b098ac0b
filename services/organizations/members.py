"""Change roles and access rights of members, and remove members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from sqlalchemy import and_, case, delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from core.clock import now
from core.errors import Conflict
from core.fields import Label, Patch
from core.text import N_
from models import BoardAccess, EventType, Invite, Member, Organization, Role, User, new_id
from services import events
from services.hooks import Hook
from services.organizations.grants import AccessRights, build_grant_changes, grant_rights
from services.organizations.invites import end_invites
from services.organizations.locks import lock_user_with_boards
from services.organizations.queries import (
    OLDEST_MEMBERSHIP_FIRST,
    MemberDetail,
    list_board_access,
    member_not_found,
)
from services.organizations.rules import (
    LAST_OWNER,
    ROLE_RANK,
    RequestRole,
    check_may_manage_role,
    check_recent_sign_in,
    check_removal,
    check_role_change,
    require_admin,
)


class MemberUpdate(Patch):
    """The new role of a member."""

    component = "OrganizationMemberUpdate"
    may_be_empty = True

    role: Annotated[RequestRole, Label(N_("Role"))]


@dataclass(frozen=True)
class LockedMember:
    """A member that an admin is about to change, while no role in the organization can change."""

    by: Member
    member: Member
    owners: int  # their number in the organization


@dataclass(frozen=True)
class AccessLoss:
    """A user may read fewer boards than before: they left, or their rights were changed."""

    user_id: UUID
    by: User | None  # None: the user has deleted the account


ACCESS_LOSS: Hook[AccessLoss, None] = Hook()
"""A user has lost access, and was locked with `lock_user_with_boards`. The handler adds events."""


async def lock_member(session: AsyncSession, by: Member, member_id: UUID) -> LockedMember:
    """Lock a member and the organization until the commit, for an admin.

    The user and the boards of their tasks are locked before the organization, as everywhere. The
    admin's role is read again after the lock. Raises NotFound and Forbidden.
    """
    locked = await _lock_member(session, by, member_id)
    require_admin(locked.by)
    return locked


async def _lock_member(session: AsyncSession, by: Member, member_id: UUID) -> LockedMember:
    conditions = Member.id == member_id, Member.organization_id == by.organization_id
    await lock_user_with_boards(session, select(Member.user_id).where(*conditions))
    lock = (
        select(Member.id)
        .join(User, User.id == Member.user_id)
        .join(Organization, Organization.id == Member.organization_id)
        .where(*conditions)
        .with_for_update(key_share=True, of=[User, Organization])
    )
    if await session.scalar(lock) is None:
        raise member_not_found()
    members_and_owners = (
        select(Member)
        .join(Member.user)
        .join(Member.organization)
        .options(contains_eager(Member.user), contains_eager(Member.organization))
        .where(Member.organization_id == by.organization_id)
        .where(or_(Member.id.in_({by.id, member_id}), Member.role == Role.OWNER))
        .execution_options(populate_existing=True)
    )
    members = {member.id: member for member in await session.scalars(members_and_owners)}
    if by.id not in members or member_id not in members:
        raise member_not_found()
    owners = sum(one.role is Role.OWNER for one in members.values())
    return LockedMember(members[by.id], members[member_id], owners)


async def change_member_role(
    session: AsyncSession,
    locked: LockedMember,
    role: Role,
    *,
    signed_in_at: datetime | None = None,
) -> MemberDetail:
    """Set the role of a locked member. Raises Forbidden and Invalid.

    For roles of owners, `signed_in_at` must be recent: see `check_recent_sign_in`.
    """
    member = locked.member
    check_role_change(locked.by, member, role, owners=locked.owners)
    if role is not member.role:
        check_recent_sign_in(signed_in_at, member.role, role)
    access = list(await list_board_access(session, member))
    if role is not member.role:
        changes = {"role": [member.role, role]}
        member.role, member.updated_at = role, now()
        await session.flush()
        ended = await _end_invites(session, locked, role)
        type = EventType.MEMBER_UPDATED
        await _record_member_event(session, type, locked, {"changes": changes}, others=ended)
    return MemberDetail(member, access)


async def _end_invites(
    session: AsyncSession, locked: LockedMember, role: Role | None
) -> list[events.NewEvent]:
    """Delete the open invitations of a member that they may not create any more, with this role."""
    member, kept = locked.member, list[Role]()
    if role in (Role.OWNER, Role.ADMIN):
        kept = [one for one in Role if ROLE_RANK[one] <= ROLE_RANK[role]]
    if role is Role.ADMIN and member.organization.only_owners_appoint_admins:
        kept.remove(Role.ADMIN)
    is_ended = and_(
        Invite.organization_id == member.organization_id,
        Invite.created_by_user_id == member.user_id,
        Invite.role.not_in(kept),
    )
    return await end_invites(session, locked.by.user, is_ended)


async def change_member_rights(
    session: AsyncSession, locked: LockedMember, rights: AccessRights
) -> MemberDetail:
    """Replace the rights of a locked member on boards. Raises Forbidden and Invalid."""
    member = locked.member
    check_may_manage_role(locked.by, member.role)
    before = [member.all_boards_read, member.all_boards_write]
    replaced = delete(BoardAccess).where(BoardAccess.organization_member_id == member.id)
    replaced = replaced.returning(BoardAccess.board_id, BoardAccess.can_write)
    old_access = (await session.execute(replaced)).all()
    member.updated_at = now()
    access = list(await grant_rights(session, member, rights))
    after = [member.all_boards_read, member.all_boards_write]
    await session.flush()
    await ACCESS_LOSS.run(session, AccessLoss(member.user_id, locked.by.user))
    changes = {"all_boards": [before, after], **build_grant_changes(old_access, access)}
    await _record_member_event(session, EventType.MEMBER_UPDATED, locked, {"changes": changes})
    return MemberDetail(member, access)


async def remove_member(
    session: AsyncSession, locked: LockedMember, *, signed_in_at: datetime | None = None
) -> None:
    """Remove a locked member, who then works in their oldest other organization.

    Their open invitations end. Raises Forbidden, for an owner also without a recent sign-in.
    """
    check_removal(locked.by, locked.member)
    check_recent_sign_in(signed_in_at, locked.member.role)
    await _end_membership(session, locked)


async def leave_organization(
    session: AsyncSession, member: Member, *, signed_in_at: datetime | None = None
) -> None:
    """End the user's own membership, as `remove_member` does.

    Raises Conflict for the only owner, and RecentSignInRequired for owners.
    """
    locked = await _lock_member(session, member, member.id)
    if locked.member.role is Role.OWNER and locked.owners == 1:
        raise Conflict("last_owner", LAST_OWNER)
    check_recent_sign_in(signed_in_at, locked.member.role)
    await _end_membership(session, locked)


async def _end_membership(session: AsyncSession, locked: LockedMember) -> None:
    """End a membership; a removed user who has another one reads about it on their next page."""
    ended = await _end_invites(session, locked, None)
    event_id, is_removed = new_id(), locked.by.id != locked.member.id
    user_id, organization_id = locked.member.user_id, locked.member.organization_id
    oldest = (
        select(Member.organization_id)
        .where(Member.user_id == user_id, Member.organization_id != organization_id)
        .order_by(*OLDEST_MEMBERSHIP_FIRST)
        .limit(1)
    )
    conditions = User.id == user_id, User.active_organization_id == organization_id
    moved = update(User).where(*conditions).values(active_organization_id=oldest.scalar_subquery())
    unread = case((exists(oldest), event_id)) if is_removed else None
    await session.execute(moved.values(unread_removal_event_id=unread))
    await session.delete(locked.member)
    await session.flush()
    await ACCESS_LOSS.run(session, AccessLoss(user_id, locked.by.user))
    data = {"organization": locked.member.organization.name}
    type = EventType.MEMBER_REMOVED
    await _record_member_event(session, type, locked, data, id=event_id, others=ended)


async def _record_member_event(
    session: AsyncSession,
    type: EventType,
    locked: LockedMember,
    more: Mapping[str, object],
    *,
    id: UUID | None = None,
    others: Sequence[events.NewEvent] = (),
) -> None:
    """Record the event of a change of a member, and before it `others` that follow from it."""
    member = locked.member
    data = {"name": member.user.display_name, "user_id": str(member.user_id), **more}
    of = member.organization_id
    event = events.NewEvent(type, locked.by.user, organization_id=of, id=id, data=data)
    await events.record_events(session, [*others, event])
