"""Invitations: created and revoked by admins; accepted with a token or a verified address."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Uuid,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from core.clock import now
from core.db.reads import Query, Source, choose_columns
from core.errors import Conflict, Forbidden, NotFound
from core.fields import FieldKind, Fields, Label, NormalizedEmail, ShortText
from core.paging import Page, PagedQuery, Paging
from core.security.secrets import generate_token, hash_token
from core.text import N_, is_storable
from models import (
    USER_NAME_COLUMNS,
    EventType,
    Invite,
    InviteBoardAccess,
    Member,
    Organization,
    Role,
    User,
)
from services import events, rows
from services.audit import NewAuditRecord
from services.events import NewEvent
from services.organizations.grants import (
    AccessRights,
    BoardGrant,
    grant_rights,
    merge_invite_rights,
)
from services.organizations.locks import lock_organization_as_admin
from services.organizations.queries import MemberDetail, find_membership, list_board_access
from services.organizations.rules import (
    ROLE_RANK,
    RequestRole,
    check_may_grant_role,
    check_may_manage_role,
    check_recent_sign_in,
)

NOT_FOUND_REASONS = {
    "unknown": N_("This invitation was withdrawn or replaced, or a part of its link is missing."),
    "used": N_("This invitation was used."),
    "expired": N_("This invitation has expired. Ask for a new one."),
    "ended": N_(
        "The person who sent this invitation may not invite you any more. Ask for a new one."
    ),
}


class Invitee(Fields):
    """Who is invited, and to which role."""

    invited_email: Annotated[ShortText, NormalizedEmail, Label(N_("E-mail"), FieldKind.LINE)]
    role: Annotated[RequestRole, Label(N_("Role"))] = Role.MEMBER


class InviteCreate(AccessRights, Invitee):
    """A new invitation. No e-mail is sent: pass on the token yourself."""

    component = "OrganizationInviteCreate"
    example = {"invited_email": "robin@example.com", "role": "member", "all_boards_read": True}


@dataclass(frozen=True)
class InviteDetail:
    """An invitation, who created it, and its grants on single boards."""

    invite: Invite
    created_by: User | None = None
    board_access: list[InviteBoardAccess] = field(default_factory=list)


async def list_pending_invites(source: Source, member: Member, paging: Paging) -> Page[Invite]:
    """Return the invitations that are not accepted, newest first, including expired ones."""
    organization_id = member.organization_id
    return await PENDING_INVITES.fetch_page(source, paging, organization_id=organization_id)


PENDING_INVITES: PagedQuery[Invite] = PagedQuery(
    select(Invite)
    .where(Invite.organization_id == bindparam("organization_id"), Invite.accepted_at.is_(None))
    .order_by(Invite.created_at.desc(), Invite.id.desc()),
    lambda row: row[0],
)


async def load_invite_details(source: Source, invites: Sequence[Invite]) -> list[InviteDetail]:
    """Return the same invitations, each with its creator and its grants."""
    details = {invite.id: InviteDetail(invite) for invite in invites}
    found = await INVITE_DETAILS.fetch(source, invite_ids=list(details)) if details else []
    for invite_id, creator, access in found:
        known = details[invite_id].board_access
        added = [*known, access] if access is not None else known
        details[invite_id] = InviteDetail(details[invite_id].invite, creator, added)
    return list(details.values())


INVITE_DETAILS: Query[tuple[UUID, User | None, InviteBoardAccess | None]] = Query(
    choose_columns(
        select(Invite.id, User, InviteBoardAccess)
        .outerjoin(User, User.id == Invite.created_by_user_id)
        .outerjoin(InviteBoardAccess, InviteBoardAccess.organization_invite_id == Invite.id)
        .where(Invite.id == func.any(bindparam("invite_ids", type_=ARRAY(Uuid()))))
        .order_by(InviteBoardAccess.created_at, InviteBoardAccess.id),
        {User: USER_NAME_COLUMNS},
    )
)


async def create_invite(
    session: AsyncSession,
    member: Member,
    fields: InviteCreate,
    *,
    signed_in_at: datetime | None = None,
    is_locked: bool = False,
) -> tuple[Invite, str]:
    """Create an invitation, and return it with its token, which is shown once.

    A second one for an address replaces the first. It ends with the right of its creator to invite.
    Raises Forbidden, for owners also without a recent sign-in, Conflict for a member, and Invalid.
    """
    email = fields.invited_email
    acting = member if is_locked else await lock_organization_as_admin(session, member)
    check_may_grant_role(acting, fields.role)
    check_recent_sign_in(signed_in_at, fields.role)
    is_member = exists().where(
        Member.organization_id == acting.organization_id,
        Member.user_id == User.id,
        func.lower(User.email) == email,
    )
    conditions = (
        Invite.organization_id == acting.organization_id,
        Invite.invited_email == email,
        Invite.accepted_at.is_(None),
    )
    invited = select(Invite.role).where(*conditions).scalar_subquery()
    is_known, invited_role = (await session.execute(select(is_member, invited))).one()
    if is_known:
        reason = N_("Somebody with this address is a member already.")
        raise Conflict("already_member", reason, field="invited_email")
    if invited_role is not None:
        check_may_manage_role(acting, invited_role)
        await session.execute(delete(Invite).where(*conditions))
    token = generate_token("invite")
    invite = rows.build_row(
        Invite,
        organization_id=acting.organization_id,
        invited_email=email,
        token_hash=hash_token(token),
        role=fields.role,
        created_by_user_id=acting.user_id,
        expires_at=now() + timedelta(days=14),
    )
    session.add(invite)
    await grant_rights(session, invite, fields)
    await _record_invite_event(session, EventType.INVITE_CREATED, acting, invite)
    return invite, token


async def renew_invite(
    session: AsyncSession,
    member: Member,
    invite_id: UUID,
    *,
    signed_in_at: datetime | None = None,
) -> tuple[Invite, str]:
    """Replace a pending invitation by an equal one with a new token and a new end.

    Raises NotFound, and what `create_invite` raises.
    """
    acting = await lock_organization_as_admin(session, member)
    query = select(Invite).where(
        Invite.id == invite_id,
        Invite.organization_id == acting.organization_id,
        Invite.accepted_at.is_(None),
    )
    invite = await session.scalar(query)
    if invite is None:
        raise NotFound("invite_not_found", N_("There is no such invitation."))
    [detail] = await load_invite_details(session, [invite])
    fields = InviteCreate.model_construct(
        invited_email=invite.invited_email,
        role=invite.role,
        all_boards_read=invite.all_boards_read,
        all_boards_write=invite.all_boards_write,
        board_access=[
            BoardGrant(board_id=one.board_id, can_read=one.can_read, can_write=one.can_write)
            for one in detail.board_access
        ],
    )
    return await create_invite(session, acting, fields, signed_in_at=signed_in_at, is_locked=True)


async def revoke_invite(session: AsyncSession, member: Member, invite_id: UUID) -> Invite:
    """Delete an invitation, and return it as it was. For an accepted one no event is recorded.

    Raises NotFound and Forbidden.
    """
    acting = await lock_organization_as_admin(session, member)
    query = select(Invite).where(
        Invite.id == invite_id, Invite.organization_id == acting.organization_id
    )
    found = await session.scalar(query)
    if found is None:
        raise NotFound("invite_not_found", N_("There is no such invitation."))
    check_may_manage_role(acting, found.role)
    await session.delete(found)
    await session.flush()
    if found.accepted_at is None:
        await _record_invite_event(session, EventType.INVITE_REVOKED, acting, found)
    return found


async def end_invites(
    session: AsyncSession, user: User | None, where: ColumnElement[bool]
) -> list[NewEvent]:
    """Delete open invitations, and return the events of this change by a user."""
    ended = delete(Invite).where(where, Invite.accepted_at.is_(None)).returning(Invite)
    found = await session.scalars(ended.execution_options(synchronize_session=False))
    return [_invite_event(EventType.INVITE_REVOKED, user, invite) for invite in found]


async def _record_invite_event(
    session: AsyncSession, type: EventType, acting: Member, invite: Invite
) -> None:
    await events.record_events(session, [_invite_event(type, acting.user, invite)])


def _invite_event(type: EventType, user: User | None, invite: Invite) -> NewEvent:
    data = {"email": invite.invited_email, "role": invite.role, "invite_id": str(invite.id)}
    return NewEvent(type, user, organization_id=invite.organization_id, data=data)


async def get_open_invite(session: AsyncSession, token: str) -> Invite:
    """Return the invitation of a token with its organization. Raises NotFound."""
    found = await session.scalar(_invite_by_token_query(token)) if is_storable(token) else None
    if found is None:
        raise await _invite_not_found(session, token)
    return found


def is_invite_for(invite: Invite, user: User) -> bool:
    """Return whether an invitation is for this user."""
    return (user.email or "").lower() == invite.invited_email


async def accept_invite(
    session: AsyncSession, user: User, token: str, audit_records: Sequence[NewAuditRecord] = ()
) -> MemberDetail:
    """Add a user to the organization of an invitation, with the rights it contains.

    `audit_records` of the same command are added with the event.

    An existing member keeps all rights. Of two concurrent calls the second finds the token used.
    Raises NotFound, and Forbidden if the invitation is for another address.
    """
    found = None
    if is_storable(token):
        found = await _lock_open_invite(session, user, _invite_by_token_query(token))
    if found is None:
        raise await _invite_not_found(session, token)
    invite, locked = found
    if not is_invite_for(invite, locked):
        reason = N_("This invitation is for another e-mail address than yours.")
        raise Forbidden("invite_for_another_user", reason)
    return await _accept(session, locked, invite, audit_records)


async def accept_oldest_invite(session: AsyncSession, user: User) -> MemberDetail | None:
    """Accept the oldest invitation for the user's address, if it is verified.

    An address that is not verified gives access to nothing.
    """
    if not user.email or user.email_verified_at is None:
        return None
    query = _open_invites_query().where(Invite.invited_email == user.email.lower())
    oldest = query.order_by(Invite.created_at, Invite.id).limit(1)
    found = await _lock_open_invite(session, user, oldest)
    return await _accept(session, found[1], found[0]) if found else None


async def _accept(
    session: AsyncSession, user: User, invite: Invite, records: Sequence[NewAuditRecord] = ()
) -> MemberDetail:
    member = await find_membership(session, user, invite.organization_id)
    is_new = member is None
    if member is None:
        member = rows.build_row(
            Member,
            organization=invite.organization,
            user=user,
            role=invite.role,
            all_boards_read=invite.all_boards_read,
            all_boards_write=invite.all_boards_write,
        )
        session.add(member)
    else:
        member.role = max(member.role, invite.role, key=ROLE_RANK.__getitem__)
        member.all_boards_read |= invite.all_boards_read or invite.all_boards_write
        member.all_boards_write |= invite.all_boards_write
    member.updated_at = invite.updated_at = invite.accepted_at = now()
    invite.accepted_by_user_id = user.id
    user.active_organization_id = user.active_organization_id or invite.organization_id
    await session.flush()
    grants = await merge_invite_rights(session, invite, member)
    access = grants if is_new else await list_board_access(session, member)
    data: dict[str, object] = {
        "name": user.display_name,
        "user_id": str(user.id),
        "role": member.role,
        "invite_id": str(invite.id),
    }
    type = EventType.MEMBER_JOINED if is_new else EventType.MEMBER_UPDATED
    joined = NewEvent(type, user, organization_id=invite.organization_id, data=data)
    await events.record_events(session, [joined], records)
    return MemberDetail(member, list(access))


async def _lock_open_invite(
    session: AsyncSession, user: User, invites: Select[Invite]
) -> tuple[Invite, User] | None:
    """Lock a user, an organization and its invitation, in this order, if the invitation is open."""
    query = (
        invites.join(User, User.id == user.id)
        .add_columns(User)
        .with_for_update(key_share=True, of=[User, Organization, Invite])
        .execution_options(populate_existing=True)
    )
    row = (await session.execute(query)).one_or_none()
    return (row[0], row[1]) if row else None


def _invite_by_token_query(token: str) -> Select[Invite]:
    return _open_invites_query().where(Invite.token_hash == hash_token(token))


def _open_invites_query() -> Select[Invite]:
    return (
        select(Invite)
        .join(Invite.organization)
        .options(contains_eager(Invite.organization))
        .where(Invite.accepted_at.is_(None), Invite.expires_at > now(), _creator_may_invite())
    )


def _creator_may_invite() -> ColumnElement[bool]:
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


async def _invite_not_found(session: AsyncSession, token: str) -> NotFound:
    """Build the error for a token without an open invitation, with the reason if it is known."""
    row, cause = None, "unknown"
    if is_storable(token):
        query = select(Invite.accepted_at, _creator_may_invite())
        query = query.where(Invite.token_hash == hash_token(token))
        row = (await session.execute(query)).one_or_none()
    if row:
        cause = "used" if row.accepted_at else "expired" if row[1] else "ended"
    return NotFound("invite_not_found", NOT_FOUND_REASONS[cause])
