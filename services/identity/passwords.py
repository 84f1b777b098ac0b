"""Passwords: signing in with one, and changing it."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Invalid, Unauthorized
from kit.secrets import hash_password, password_fits
from kit.text import storable
from kit.values import is_email
from models import User
from services import users
from services.identity.sessions import (
    DAYS,
    end_other_sessions,
    end_sessions,
    start_session,
)

SHORTEST_PASSWORD = 10  # characters
LONGEST_PASSWORD = 200

NOBODYS = (
    "$argon2id$v=19$m=65536,t=3,p=4$ZHnZDtf5F14B1COu0/uXCQ"
    "$/1DijO403dFuqja0xWXXdg5/M3/MmAtE1mms92eXdZo"
)
"""The hash of a secret that was thrown away, tried where nobody has the e-mail address."""


@dataclass(frozen=True)
class Kept:
    """What is kept of a person's password, or nobody's where there is none."""

    user_id: UUID | None
    hash: str


@dataclass(frozen=True)
class Proven:
    """Who has shown to know their password, and what was kept of it then."""

    user_id: UUID
    hash: str


async def user_with_email(session: AsyncSession, email: str) -> User | None:
    """Return whoever has an e-mail address here."""
    wanted = email.strip().lower()
    if not is_email(wanted):
        return None
    return await session.scalar(select(User).where(func.lower(User.email) == wanted))


async def kept_password(session: AsyncSession, *, email: str) -> Kept:
    """Return what is kept of the password that belongs to an e-mail address."""
    user = await user_with_email(session, email)
    return _kept(user) if user else Kept(None, NOBODYS)


async def kept_password_of(session: AsyncSession, user: User) -> Kept:
    """Return what is kept of a person's password."""
    return _kept(await session.get(User, user.id, populate_existing=True) or user)


async def check_credentials(kept: Kept, password: str) -> Proven:
    """Say who has shown to know their password. It takes a while: not inside a transaction.

    Raises Unauthorized, with the same words and after the same time whatever is wrong.
    """
    proven = await _proven(kept, password)
    if proven is None:
        raise _wrong_credentials()
    return proven


async def check_current(kept: Kept, current: str) -> Proven:
    """Do the same for who is signed in. Raises Invalid (field `current`)."""
    proven = await _proven(kept, current)
    if proven is None:
        raise _not_yours()
    return proven


async def sign_in(
    session: AsyncSession,
    proven: Proven,
    *,
    user_agent: str | None,
    ip: str | None,
    days: int = DAYS,
) -> tuple[User, str]:
    """Return who has come in, and the secret for their browser's cookie.

    Raises Unauthorized if the password was changed meanwhile. It isn't until the commit.
    """
    query = select(User).where(User.id == proven.user_id).with_for_update(read=True)
    user = await session.scalar(query.execution_options(populate_existing=True))
    if user is None or user.password_hash != proven.hash:
        raise _wrong_credentials()
    return user, await start_session(session, user, user_agent=user_agent, ip=ip, days=days)


async def change_password(
    session: AsyncSession, user: User, proven: Proven, *, new_hash: str, keep: UUID
) -> None:
    """Give this person another password, and end all their sessions but one.

    Raises Invalid (field `current`) if it was changed meanwhile, or somebody else has proven it.
    """
    held = await users.hold(session, user)
    if (held.id, held.password_hash) != (proven.user_id, proven.hash):
        raise _not_yours()
    held.password_hash = new_hash
    held.updated_at = now()
    await session.flush()
    await end_other_sessions(session, user, keep=keep)


async def set_password(session: AsyncSession, held: User, *, new_hash: str) -> None:
    """Give a held person another password, and end all their sessions."""
    held.password_hash = new_hash
    held.updated_at = now()
    await session.flush()
    await end_sessions(session, held)


async def hashed(password: str, field: str) -> str:
    """Return what is to be kept of a new password. It takes a while: not inside a transaction.

    Raises Invalid if it will not do.
    """
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


async def _fits(password: str, kept: str) -> bool:
    """Say whether this is the password that was kept, in a thread of its own."""
    can_be_one = len(password) <= LONGEST_PASSWORD and storable(password)
    fits = await asyncio.to_thread(password_fits, password if can_be_one else "", kept)
    return fits and can_be_one


def _kept(user: User) -> Kept:
    return Kept(user.id, user.password_hash) if user.password_hash else Kept(None, NOBODYS)


async def _proven(kept: Kept, password: str) -> Proven | None:
    fits = await _fits(password, kept.hash)
    return Proven(kept.user_id, kept.hash) if fits and kept.user_id else None


def _wrong_credentials() -> Unauthorized:
    reason = "The e-mail address or the password is not right."
    return Unauthorized(reason, code="wrong_credentials")


def _not_yours() -> Invalid:
    return Invalid("wrong_password", "This is not your password.", field="current")
