"""Passwords: signing in with one, and changing it."""

import asyncio
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Invalid, Unauthorized
from kit.secrets import hash_password, password_fits
from kit.text import storable
from models import User
from services import users
from services.identity.sessions import DAYS, end_other_sessions, start_session

SHORTEST_PASSWORD = 10  # characters
LONGEST_PASSWORD = 200
LONGEST_EMAIL = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets

NOBODYS = (
    "$argon2id$v=19$m=65536,t=3,p=4$ZHnZDtf5F14B1COu0/uXCQ"
    "$/1DijO403dFuqja0xWXXdg5/M3/MmAtE1mms92eXdZo"
)
"""The hash of a secret that was thrown away, tried where nobody has the e-mail address."""


async def sign_in(
    session: AsyncSession,
    *,
    email: str,
    password: str,
    user_agent: str | None,
    ip: str | None,
    days: int = DAYS,
) -> tuple[User, str]:
    """Return who has this e-mail address and password, and the secret for their browser's cookie.

    Raises Unauthorized, with the same words and after the same time whatever is wrong.
    """
    user = await _with_email(session, email)
    kept = user.password_hash if user else None
    fits = await fits_password(password, kept or NOBODYS)
    if user is None or kept is None or not fits:
        reason = "The e-mail address or the password is not right."
        raise Unauthorized(reason, code="wrong_credentials")
    return user, await start_session(session, user, user_agent=user_agent, ip=ip, days=days)


async def change_password(
    session: AsyncSession, user: User, *, current: str, new: str, keep: UUID
) -> None:
    """Give this person another password, and end all their sessions but one.

    Raises Invalid when the current password is another (field `current`) or the new one will not
    do (field `new`).
    """
    held = await users.hold(session, user)
    if not await fits_password(current, held.password_hash or NOBODYS):
        raise Invalid("wrong_password", "This is not your password.", field="current")
    held.password_hash = await hashed(new, "new")
    held.updated_at = now()
    await session.flush()
    await end_other_sessions(session, user, keep=keep)


async def hashed(password: str, field: str) -> str:
    """Return what is to be kept of a new password. Raises Invalid if it will not do."""
    if len(password) < SHORTEST_PASSWORD:
        reason = f"A password has at least {SHORTEST_PASSWORD} characters."
        raise Invalid("password_too_short", reason, field=field)
    if len(password) > LONGEST_PASSWORD:
        reason = f"A password has at most {LONGEST_PASSWORD} characters."
        raise Invalid("password_too_long", reason, field=field)
    if not storable(password):
        reason = "The password has a character that nobody can type. Take it out."
        raise Invalid("bad_character", reason, field=field)
    return await asyncio.to_thread(hash_password, password)


async def fits_password(password: str, kept: str) -> bool:
    """Say whether this is the password that was kept, in a thread of its own."""
    can_be_one = len(password) <= LONGEST_PASSWORD and storable(password)
    fits = await asyncio.to_thread(password_fits, password if can_be_one else "", kept)
    return fits and can_be_one


def is_email(text: str) -> bool:
    """Say whether a text could be an e-mail address: something, an @, something, no blanks."""
    name, at, place = text.partition("@")
    is_whole = bool(name and at and place) and "@" not in place and len(text) <= LONGEST_EMAIL
    return is_whole and text.isprintable() and " " not in text


async def _with_email(session: AsyncSession, email: str) -> User | None:
    wanted = email.strip().lower()
    if not is_email(wanted):
        return None
    return await session.scalar(select(User).where(func.lower(User.email) == wanted))
