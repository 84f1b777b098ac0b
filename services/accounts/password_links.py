"""Coming in again by a link, for somebody who has forgotten their password."""

from datetime import timedelta

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import NotFound
from kit.secrets import fingerprint, new_token
from kit.text import storable
from models import EventType, Member, PasswordLink, User
from services import events, identity, users
from services.events import Happened

LASTS = timedelta(hours=24)


async def password_link(session: AsyncSession, email: str) -> str:
    """Make a link for whoever has an address here, for the operator, and return its secret.

    It works once, for a day, and ends the one that was made before. Raises NotFound.
    """
    user = await identity.user_with_email(session, email)
    if user is None:
        raise NotFound("account_not_found", f"Nobody has the e-mail address {email} here.")
    held = await users.hold(session, user)
    await session.execute(delete(PasswordLink).where(PasswordLink.user_id == held.id))
    secret, at = new_token("password"), now()
    row = PasswordLink(
        user_id=held.id, secret_hash=fingerprint(secret), created_at=at, expires_at=at + LASTS
    )
    session.add(row)
    await session.flush()
    await _record(session, EventType.MEMBER_PASSWORD_LINKED, held, None)
    return secret


async def who_has_link(session: AsyncSession, secret: str) -> User:
    """Return the person whom a link is for, to look at. Raises NotFound when it is dead."""
    found = None
    if storable(secret):
        query = select(User).join(PasswordLink, PasswordLink.user_id == User.id)
        found = await session.scalar(query.where(*_alive(secret)))
    if found is None:
        raise _dead()
    return found


async def choose_password(session: AsyncSession, secret: str, *, new_hash: str) -> User:
    """Use a link up: its person has another password, and no session that was open before.

    Of two who use it at once, the second finds it dead. Raises NotFound.
    """
    held = await users.hold(session, await who_has_link(session, secret))
    used = delete(PasswordLink).where(*_alive(secret)).returning(PasswordLink.id)
    if await session.scalar(used) is None:
        raise _dead()
    await identity.set_password(session, held, new_hash=new_hash)
    await _record(session, EventType.MEMBER_PASSWORD_CHANGED, held, held)
    return held


async def _record(session: AsyncSession, type: EventType, user: User, by: User | None) -> None:
    """Tell the organizations that a person belongs to. The operator is nobody there."""
    belongs = select(Member.organization_id).where(Member.user_id == user.id)
    data = {"name": user.called, "user_id": str(user.id)}
    happened = [
        Happened(type, by, organization_id=id, data=data) for id in await session.scalars(belongs)
    ]
    if happened:
        await events.record_all(session, happened)


def _alive(secret: str) -> tuple[ColumnElement[bool], ...]:
    return PasswordLink.secret_hash == fingerprint(secret), PasswordLink.expires_at > now()


def _dead() -> NotFound:
    reason = "This link was used or replaced, has run out, or a part of it is missing."
    return NotFound("password_link_over", reason)
