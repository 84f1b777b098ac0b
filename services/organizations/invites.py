"""Invitations: made, listed and withdrawn by those who look after an organization."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from kit.clock import now
from kit.errors import Conflict, NotFound
from kit.paging import Page, Paging, paged
from kit.secrets import fingerprint, new_token
from kit.values import email_address
from models import EventType, Invite, Member, Organization, Role, User, new_id
from services import events
from services.organizations.grants import Rights, give
from services.organizations.rules import check_may_give, check_may_touch, require_admin

LASTS = timedelta(days=14)


@dataclass(frozen=True)
class InviteDraft:
    """An invitation to be: to whom, and what they will be and may do."""

    invited_email: str
    role: Role = Role.MEMBER
    rights: Rights = field(default_factory=Rights)


async def pending_invites(session: AsyncSession, member: Member, paging: Paging) -> Page[Invite]:
    """Return the invitations that nobody has accepted, newest first, those that ran out too."""
    query = select(Invite).where(
        Invite.organization_id == member.organization_id, Invite.accepted_at.is_(None)
    )
    newest_first = query.order_by(Invite.created_at.desc(), Invite.id.desc())
    return await paged(session, newest_first, paging)


async def invite(session: AsyncSession, member: Member, draft: InviteDraft) -> tuple[Invite, str]:
    """Invite somebody, and return the invitation with its token, which is never seen again.

    There is one open invitation for an address: who is invited again gets a new token, and the
    old one is dead. Raises Forbidden, Conflict if they are a member already, and Invalid.
    """
    email = email_address(draft.invited_email, "invited_email")
    by = await _hold(session, member)
    check_may_give(by, draft.role)
    is_member, invited_to = await _what_there_is(session, by.organization_id, email)
    if is_member:
        reason = "Somebody with this address is a member already."
        raise Conflict("already_member", reason, field="invited_email")
    if invited_to is not None:
        check_may_touch(by, invited_to)
        await session.execute(delete(Invite).where(*_open(by.organization_id, email)))
    token, at = new_token("invite"), now()
    made = Invite(
        id=new_id(),
        organization_id=by.organization_id,
        invited_email=email,
        token_hash=fingerprint(token),
        role=draft.role,
        created_by_user_id=by.user_id,
        expires_at=at + LASTS,
        created_at=at,
        updated_at=at,
    )
    session.add(made)
    await give(session, made, draft.rights)
    await _record(session, EventType.INVITE_CREATED, by, made)
    return made, token


async def revoke_invite(session: AsyncSession, member: Member, invite_id: UUID) -> Invite:
    """Withdraw an invitation, and return what it was. One that was accepted is only forgotten.

    Raises NotFound and Forbidden.
    """
    by = await _hold(session, member)
    query = select(Invite).where(
        Invite.id == invite_id, Invite.organization_id == by.organization_id
    )
    found = await session.scalar(query)
    if found is None:
        raise NotFound("invite_not_found", "There is no such invitation.")
    check_may_touch(by, found.role)
    await session.delete(found)
    await session.flush()
    if found.accepted_at is None:
        await _record(session, EventType.INVITE_REVOKED, by, found)
    return found


async def _hold(session: AsyncSession, member: Member) -> Member:
    """Hold the organization for one of its admins, and return them as they are by then."""
    query = (
        select(Member)
        .join(Member.organization)
        .join(Member.user)
        .options(contains_eager(Member.user))
        .where(Member.id == member.id)
        .with_for_update(key_share=True, of=[Organization, Member])
        .execution_options(populate_existing=True)
    )
    held = await session.scalar(query)
    if held is None:
        raise NotFound("organization_not_found", "You belong to no such organization.")
    require_admin(held)
    return held


async def _what_there_is(
    session: AsyncSession, organization_id: UUID, email: str
) -> tuple[bool, Role | None]:
    """Say whether the address is a member's, and to which role it is invited, if it is."""
    belongs = Member.organization_id == organization_id, func.lower(User.email) == email
    is_member = exists().where(*belongs, Member.user_id == User.id)
    invited_to = select(Invite.role).where(*_open(organization_id, email)).scalar_subquery()
    row = (await session.execute(select(is_member, invited_to))).one()
    return row[0], row[1]


def _open(organization_id: UUID, email: str) -> tuple[ColumnElement[bool], ...]:
    return (
        Invite.organization_id == organization_id,
        Invite.invited_email == email,
        Invite.accepted_at.is_(None),
    )


async def _record(session: AsyncSession, type: EventType, by: Member, made: Invite) -> None:
    data: dict[str, object] = {"email": made.invited_email, "role": made.role}
    data["invite_id"] = str(made.id)
    organization_id = made.organization_id
    await events.record(session, type, by.user, organization_id=organization_id, data=data)
