"""Passwords: verifying, signing in, and changing them."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Invalid, Unauthorized
from core.security.secrets import hash_password, verify_password
from core.text import N_, is_storable
from core.validation import is_email
from models import PasswordLink, User
from services import audit, organizations
from services.audit import AccountChange, AuditAction, AuditObject
from services.identity.password_rules import MAX_PASSWORD_LENGTH, check_new_password
from services.identity.sessions import (
    DEFAULT_SESSION_DAYS,
    delete_sessions,
    replace_session_secret,
    start_session,
)
from services.identity.tokens import revoke_api_tokens

DUMMY_HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$ZHnZDtf5F14B1COu0/uXCQ"
    "$/1DijO403dFuqja0xWXXdg5/M3/MmAtE1mms92eXdZo"
)
"""The hash of a discarded secret, verified if no user has the e-mail address."""


@dataclass(frozen=True)
class StoredPassword:
    """The stored hash of a user's password, or DUMMY_HASH without a user."""

    user_id: UUID | None
    hash: str


@dataclass(frozen=True)
class VerifiedPassword:
    """A user whose password was verified, and the hash that it was verified against."""

    user_id: UUID
    hash: str


async def find_user_by_email(session: AsyncSession, email: str) -> User | None:
    """Return the user with an e-mail address, or None."""
    address = email.strip().lower()
    if not is_email(address):
        return None
    return await session.scalar(select(User).where(func.lower(User.email) == address))


async def find_stored_password(session: AsyncSession, *, email: str) -> StoredPassword:
    """Return the stored password for an e-mail address, or a dummy."""
    user = await find_user_by_email(session, email)
    return _stored_password_of(user) if user else StoredPassword(None, DUMMY_HASH)


async def get_stored_password(session: AsyncSession, user: User) -> StoredPassword:
    """Return the stored password of a user, or a dummy."""
    return _stored_password_of(await session.get(User, user.id, populate_existing=True) or user)


async def verify_credentials(stored: StoredPassword, password: str) -> VerifiedPassword:
    """Verify a password. It is slow: do not call it inside a transaction.

    Raises Unauthorized, with the same message and after the same time for every cause.
    """
    verified = await _verify(stored, password)
    if verified is None:
        raise _wrong_credentials()
    return verified


async def verify_current_password(stored: StoredPassword, current: str) -> VerifiedPassword:
    """Verify the password of a signed-in user. Raises Invalid (field `current`)."""
    verified = await _verify(stored, current)
    if verified is None:
        raise _wrong_current_password()
    return verified


async def sign_in(
    session: AsyncSession,
    verified: VerifiedPassword,
    *,
    user_agent: str | None,
    ip: str | None,
    days: int = DEFAULT_SESSION_DAYS,
) -> tuple[User, str]:
    """Return the user and the secret for the session cookie.

    The user is locked until the commit. Raises Unauthorized if the password has changed since it
    was verified.
    """
    query = select(User).where(User.id == verified.user_id).with_for_update(read=True)
    user = await session.scalar(query.execution_options(populate_existing=True))
    if user is None or user.password_hash != verified.hash:
        raise _wrong_credentials()
    audit.use_credential("password")
    return user, await start_session(session, user, user_agent=user_agent, ip=ip, days=days)


async def change_password(
    session: AsyncSession, user: User, verified: VerifiedPassword, *, new_hash: str, keep: UUID
) -> str:
    """Set another password, end all sessions of the user but one, and renew that one.

    A password link of the user ends as well. Returns the new secret of the session. Raises Invalid
    (field `current`) if it has changed since, or another user's was verified.
    """
    locked = await organizations.lock_user(session, user)
    if (locked.id, locked.password_hash) != (verified.user_id, verified.hash):
        raise _wrong_current_password()
    locked.password_hash = new_hash
    locked.updated_at = now()
    await session.flush()
    ended = await delete_sessions(session, user, keep=keep)
    await _delete_password_links(session, locked)
    secret, renewed = await replace_session_secret(session, user, keep)
    target = AuditObject("user", user.id, user.display_name)
    changed = AccountChange(AuditAction.PASSWORD_CHANGED, target)
    await audit.record_account_changes(session, user.id, [changed, ended, renewed])
    return secret


async def set_password(
    session: AsyncSession, locked: User, *, new_hash: str
) -> list[AccountChange]:
    """Set the password of a locked user, and end all their sessions, tokens and password links.

    Returns the changes to record.
    """
    locked.password_hash = new_hash
    locked.updated_at = now()
    await session.flush()
    await _delete_password_links(session, locked)
    ended = await delete_sessions(session, locked)
    return [ended, *await revoke_api_tokens(session, locked)]


async def _delete_password_links(session: AsyncSession, user: User) -> None:
    await session.execute(delete(PasswordLink).where(PasswordLink.user_id == user.id))


async def hash_new_password(password: str, field: str, email: str | None = None) -> str:
    """Validate a new password and return its hash. It is slow: do not call it inside a transaction.

    Raises Invalid.
    """
    check_new_password(password, field, email)
    return await asyncio.to_thread(hash_password, password)


async def _matches_hash(password: str, stored: str) -> bool:
    """Return whether the password has this hash, computed in a thread."""
    is_plausible = len(password) <= MAX_PASSWORD_LENGTH and is_storable(password)
    is_match = await asyncio.to_thread(verify_password, password if is_plausible else "", stored)
    return is_match and is_plausible


def _stored_password_of(user: User) -> StoredPassword:
    if user.password_hash is None:
        return StoredPassword(None, DUMMY_HASH)
    return StoredPassword(user.id, user.password_hash)


async def _verify(stored: StoredPassword, password: str) -> VerifiedPassword | None:
    if await _matches_hash(password, stored.hash) and stored.user_id:
        return VerifiedPassword(stored.user_id, stored.hash)
    return None


def _wrong_credentials() -> Unauthorized:
    reason = N_("The e-mail address or the password is not right.")
    return Unauthorized(reason, code="wrong_credentials")


def _wrong_current_password() -> Invalid:
    return Invalid("wrong_password", N_("This is not your password."), field="current")
