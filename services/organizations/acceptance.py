"""Taking up an invitation: with its token, or because the address is verified to be one's own."""

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from kit.clock import now
from kit.errors import Forbidden, NotFound
from kit.secrets import fingerprint
from kit.text import storable
from models import EventType, Invite, Member, Organization, User, new_id
from services import events
from services.organizations.belonging import membership, own_access
from services.organizations.grants import merge
from services.organizations.lists import MemberDetail
from services.organizations.rules import higher


async def open_invite(session: AsyncSession, token: str) -> Invite:
    """Return the invitation of a token with its organization, to look at. Raises NotFound."""
    found = await session.scalar(_with_token(token)) if storable(token) else None
    if found is None:
        raise await _dead(session, token)
    return found


def is_for(invite: Invite, user: User) -> bool:
    """Say whether an invitation is for this person."""
    return (user.email or "").lower() == invite.invited_email


async def accept_invite(session: AsyncSession, user: User, token: str) -> MemberDetail:
    """Let a person into the organization that a token invites to, with what it promises.

    Whoever is a member already loses nothing by it. Of two who use a token at once, the second
    finds it used (contract, R10). Raises NotFound, and Forbidden to whom the invitation isn't for.
    """
    found = await _hold(session, user, _with_token(token)) if storable(token) else None
    if found is None:
        raise await _dead(session, token)
    invite, held = found
    if not is_for(invite, held):
        reason = "This invitation is for another e-mail address than yours."
        raise Forbidden("invite_for_another", reason)
    return await _take_up(session, held, invite)


async def accept_oldest_invite(session: AsyncSession, user: User) -> MemberDetail | None:
    """Let a person in where they were first invited, if their address is verified (contract, S10).

    An address that somebody only says is theirs lets nobody in.
    """
    if not user.email or user.email_verified_at is None:
        return None
    waiting = _alive().where(Invite.invited_email == user.email.lower())
    oldest = waiting.order_by(Invite.created_at, Invite.id).limit(1)
    found = await _hold(session, user, oldest)
    return await _take_up(session, found[1], found[0]) if found else None


async def _take_up(session: AsyncSession, user: User, invite: Invite) -> MemberDetail:
    member = await membership(session, user, invite.organization_id)
    is_new = member is None
    if member is None:
        member = _newcomer(user, invite)
        session.add(member)
    else:
        _add(invite, member)
    member.updated_at = invite.updated_at = invite.accepted_at = now()
    invite.accepted_by_user_id = user.id
    user.active_organization_id = user.active_organization_id or invite.organization_id
    await session.flush()
    given = await merge(session, invite, member)
    access = given if is_new else await own_access(session, member)
    data: dict[str, object] = {"name": user.called, "user_id": str(user.id), "role": member.role}
    data["invite_id"] = str(invite.id)
    type = EventType.MEMBER_JOINED if is_new else EventType.MEMBER_UPDATED
    organization_id = invite.organization_id
    await events.record(session, type, user, organization_id=organization_id, data=data)
    return MemberDetail(member, list(access))


def _newcomer(user: User, invite: Invite) -> Member:
    return Member(
        id=new_id(),
        organization=invite.organization,
        user=user,
        role=invite.role,
        all_boards_read=invite.all_boards_read,
        all_boards_write=invite.all_boards_write,
        created_at=now(),
    )


def _add(invite: Invite, member: Member) -> None:
    """Give a member what an invitation promises on top of what they have (contract, 3.3)."""
    member.role = higher(member.role, invite.role)
    member.all_boards_read |= invite.all_boards_read or invite.all_boards_write
    member.all_boards_write |= invite.all_boards_write


async def _hold(
    session: AsyncSession, user: User, invites: Select[Invite]
) -> tuple[Invite, User] | None:
    """Hold a person, an organization and its invitation, in this order, if it is still open."""
    query = (
        invites.join(User, User.id == user.id)
        .add_columns(User)
        .with_for_update(key_share=True, of=[User, Organization, Invite])
        .execution_options(populate_existing=True)
    )
    row = (await session.execute(query)).one_or_none()
    return (row[0], row[1]) if row else None


def _with_token(token: str) -> Select[Invite]:
    return _alive().where(Invite.token_hash == fingerprint(token))


def _alive() -> Select[Invite]:
    return (
        select(Invite)
        .join(Invite.organization)
        .options(contains_eager(Invite.organization))
        .where(Invite.accepted_at.is_(None), Invite.expires_at > now())
    )


async def _dead(session: AsyncSession, token: str) -> NotFound:
    """Make the answer to who has a token that lets nobody in: it says why, if that is known."""
    row = None
    if storable(token):
        there = select(Invite.accepted_at).where(Invite.token_hash == fingerprint(token))
        row = (await session.execute(there)).one_or_none()
    reason = "This invitation was withdrawn or replaced, or a part of its link is missing."
    if row is not None:
        used, over = "This invitation was used.", "This invitation has run out. Ask for a new one."
        reason = used if row.accepted_at else over
    return NotFound("invite_not_found", reason)
