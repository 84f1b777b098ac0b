"""Change roles and access rights of members, and remove members, by the rules for admins."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Uuid,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from core.clock import now
from core.db.reads import Query
from core.errors import Conflict, Forbidden, Invalid, RecentSignInRequired
from core.validation import MAX_NAME_LENGTH, nonblank_text
from models import BoardAccess, EventType, Invite, Member, Organization, Role, User, new_id
from services import events, tasks
from services.organizations.grants import AccessRights, build_grant_changes, grant_rights
from services.organizations.queries import (
    OLDEST_MEMBERSHIP_FIRST,
    MemberDetail,
    list_board_access,
    member_not_found,
)


@dataclass(frozen=True)
class LockedMember:
    """A member that an admin is about to change, while no role in the organization can change."""

    by: Member
    member: Member
    owners: int  # their number in the organization


async def lock_member(session: AsyncSession, by: Member, member_id: UUID) -> LockedMember:
    """Lock a member and the organization until the commit, for an admin.

    The user and the boards of their tasks are locked before the organization, as everywhere. The
    admin's role is read again after the lock (contract, R8). Raises NotFound and Forbidden.
    """
    locked = await _lock_member(session, by, member_id)
    require_admin(locked.by)
    return locked


async def _lock_member(session: AsyncSession, by: Member, member_id: UUID) -> LockedMember:
    is_member = Member.id == member_id, Member.organization_id == by.organization_id
    await tasks.lock_assignee(session, select(Member.user_id).where(*is_member))
    lock = (
        select(Member.id)
        .join(User, User.id == Member.user_id)
        .join(Organization, Organization.id == Member.organization_id)
        .where(*is_member)
        .with_for_update(key_share=True, of=[User, Organization])
    )
    if await session.scalar(lock) is None:
        raise member_not_found()
    members = await _load_members_and_owners(session, by.organization_id, {by.id, member_id})
    if by.id not in members or member_id not in members:
        raise member_not_found()
    owners = sum(one.role is Role.OWNER for one in members.values())
    return LockedMember(members[by.id], members[member_id], owners)


async def lock_memberships(session: AsyncSession, organization_ids: Collection[UUID]) -> None:
    """Keep roles, rights and memberships of organizations as they are until the commit.

    What is read afterwards is still true at the commit. Changes of members lock the organization
    too, after the boards. Call it after the boards were locked.
    """
    await SHARED_ORGANIZATIONS.fetch(session, organization_ids=list(organization_ids))


SHARED_ORGANIZATIONS: Query[tuple[UUID]] = Query(
    select(Organization.id)
    .where(Organization.id == func.any(bindparam("organization_ids", type_=ARRAY(Uuid()))))
    .order_by(Organization.id)
    .with_for_update(read=True)
)


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
        await _end_invites(session, member, role)
        await _record_member_event(session, EventType.MEMBER_UPDATED, locked, {"changes": changes})
    return MemberDetail(member, access)


async def _end_invites(session: AsyncSession, member: Member, role: Role | None) -> None:
    """Delete the open invitations of a member that they may not create any more, with this role."""
    kept = [one for one in Role if role in INVITING_ROLES and ROLE_RANK[one] <= ROLE_RANK[role]]
    if role is Role.ADMIN and member.organization.only_owners_appoint_admins:
        kept.remove(Role.ADMIN)
    ended = delete(Invite).where(
        Invite.organization_id == member.organization_id,
        Invite.created_by_user_id == member.user_id,
        Invite.accepted_at.is_(None),
        Invite.role.not_in(kept),
    )
    await session.execute(ended.execution_options(synchronize_session=False))


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
    await tasks.unassign_former_readers(session, locked.by.user, user_id=member.user_id)
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
    await _end_invites(session, locked.member, None)
    event_id, is_removed = new_id(), locked.by.id != locked.member.id
    user_id, organization_id = locked.member.user_id, locked.member.organization_id
    oldest = (
        select(Member.organization_id)
        .where(Member.user_id == user_id, Member.organization_id != organization_id)
        .order_by(*OLDEST_MEMBERSHIP_FIRST)
        .limit(1)
    )
    was_active = User.id == user_id, User.active_organization_id == organization_id
    moved = update(User).where(*was_active).values(active_organization_id=oldest.scalar_subquery())
    unread = case((exists(oldest), event_id)) if is_removed else None
    await session.execute(moved.values(unread_removal_event_id=unread))
    await session.delete(locked.member)
    await session.flush()
    await tasks.unassign_former_readers(session, locked.by.user, user_id=user_id)
    data = {"organization": locked.member.organization.name}
    await _record_member_event(session, EventType.MEMBER_REMOVED, locked, data, id=event_id)


async def _load_members_and_owners(
    session: AsyncSession, organization_id: UUID, member_ids: set[UUID]
) -> dict[UUID, Member]:
    """Return the current rows of some members and of all owners, by id."""
    query = (
        select(Member)
        .join(Member.user)
        .join(Member.organization)
        .options(contains_eager(Member.user), contains_eager(Member.organization))
        .where(Member.organization_id == organization_id)
        .where(or_(Member.id.in_(member_ids), Member.role == Role.OWNER))
        .execution_options(populate_existing=True)
    )
    return {member.id: member for member in await session.scalars(query)}


async def _record_member_event(
    session: AsyncSession,
    type: EventType,
    locked: LockedMember,
    more: Mapping[str, object],
    *,
    id: UUID | None = None,
) -> None:
    member = locked.member
    data = {"name": member.user.display_name, "user_id": str(member.user_id), **more}
    organization_id = member.organization_id
    await events.record_event(
        session, type, locked.by.user, organization_id=organization_id, id=id, data=data
    )


validate_organization_name = nonblank_text(MAX_NAME_LENGTH)

LAST_OWNER = "An organization has at least one owner. Make somebody else an owner first."
RECENT_SIGN_IN = timedelta(minutes=15)
INVITING_ROLES = (Role.OWNER, Role.ADMIN)
ROLE_RANK = {Role.MEMBER: 0, Role.ADMIN: 1, Role.OWNER: 2}


def require_admin(member: Member) -> None:
    """Raise Forbidden unless the member is an admin or owner."""
    if not member.is_admin:
        raise Forbidden("admin_required", "Only an admin of the organization can do that.")


def require_owner(member: Member) -> None:
    """Raise Forbidden unless the member is an owner."""
    if member.role is not Role.OWNER:
        raise Forbidden("owner_required", "Only an owner of the organization can do that.")


def require_recent_sign_in(signed_in_at: datetime | None) -> None:
    """Raise RecentSignInRequired unless the user has signed in recently.

    `signed_in_at` is when the user proved who they are in the browser that makes the request; a
    request with a token has none.
    """
    if signed_in_at is None or signed_in_at <= now() - RECENT_SIGN_IN:
        raise RecentSignInRequired


def check_recent_sign_in(signed_in_at: datetime | None, *roles: Role) -> None:
    """Do the same, but only for roles of owners."""
    if Role.OWNER in roles:
        require_recent_sign_in(signed_in_at)


def check_may_manage_role(acting: Member, role: Role) -> None:
    """Raise Forbidden if the role is above that of the acting member."""
    if ROLE_RANK[role] > ROLE_RANK[acting.role]:
        raise Forbidden("owner_required", "Only an owner changes what owners are and may.")


def check_may_grant_role(acting: Member, role: Role) -> None:
    """Raise Forbidden if the acting member grants a role above their own (contract, S6).

    In organizations where only owners appoint admins, also if an admin appoints one.
    """
    if ROLE_RANK[role] > ROLE_RANK[acting.role]:
        raise Forbidden("role_above_own", "Nobody gives a role that is above their own.")
    if not may_appoint_admins(acting) and role is Role.ADMIN:
        raise Forbidden("only_owners_appoint_admins", "Only owners appoint admins here.")


def may_appoint_admins(member: Member) -> bool:
    """Return whether a member may make others admins, by role or by invitation."""
    is_allowed = member.is_admin and not member.organization.only_owners_appoint_admins
    return is_allowed or member.role is Role.OWNER


def check_role_change(acting: Member, member: Member, role: Role, *, owners: int) -> None:
    """Raise Forbidden or Invalid if the acting member may not give the member this role."""
    check_may_manage_role(acting, member.role)
    if role is not member.role:
        check_may_grant_role(acting, role)
    if member.role is Role.OWNER and role is not Role.OWNER and owners == 1:
        raise Invalid("last_owner", LAST_OWNER, field="role")


def check_removal(acting: Member, member: Member) -> None:
    """Raise Forbidden if the acting member may not remove the member.

    An owner always remains: only owners remove owners, and nobody removes themselves.
    """
    if acting.id == member.id:
        raise Forbidden("self_removal", "Nobody removes themselves. Another admin can do it.")
    check_may_manage_role(acting, member.role)


def higher_role(one: Role, other: Role) -> Role:
    """Return the role with more rights."""
    return max(one, other, key=ROLE_RANK.__getitem__)


def check_name_is_free(name: str, others: Iterable[Organization]) -> None:
    """Raise Conflict if the user already belongs to an organization of this name.

    Names of other organizations are not compared, so that nobody learns about them (contract, S24).
    """
    if any(other.name.casefold() == name.casefold() for other in others):
        reason = "You already belong to an organization of this name."
        raise Conflict("organization_name_taken", reason, field="name")


def creator_may_invite() -> ColumnElement[bool]:
    """Match the invitations whose creator may still grant their role, and those without one."""
    appointed_by_owners = exists().where(
        Organization.id == Member.organization_id, Organization.only_owners_appoint_admins
    )
    is_creator = and_(
        Member.organization_id == Invite.organization_id,
        Member.user_id == Invite.created_by_user_id,
        or_(
            Member.role == Role.OWNER,
            and_(Member.role == Role.ADMIN, Invite.role == Role.MEMBER),
            and_(Member.role == Role.ADMIN, Invite.role == Role.ADMIN, ~appointed_by_owners),
        ),
    )
    return or_(Invite.created_by_user_id.is_(None), exists().where(is_creator))


def add_invite_rights(invite: Invite, member: Member) -> None:
    """Add the rights of an invitation to those of a member (contract, 3.3)."""
    member.role = higher_role(member.role, invite.role)
    member.all_boards_read |= invite.all_boards_read or invite.all_boards_write
    member.all_boards_write |= invite.all_boards_write
