"""Passwords: rules for new ones, verifying, signing in, changing them, and links to reset them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Invalid, NotFound, Unauthorized
from core.security.secrets import generate_token, hash_password, hash_token, verify_password
from core.text import N_, is_email, is_storable
from models import EventType, Member, PasswordLink, User
from services import audit, events, organizations
from services.audit import AccountChange, AuditAction, AuditObject, NewAuditRecord
from services.events import NewEvent
from services.identity.sessions import (
    DEFAULT_SESSION_DAYS,
    delete_sessions,
    replace_session_secret,
    start_session,
)
from services.identity.tokens import revoke_api_tokens

MIN_PASSWORD_LENGTH = 10  # characters
MAX_PASSWORD_LENGTH = 200
SEQUENCES = (
    "abcdefghijklmnopqrstuvwxyz" * 2,
    "1234567890" * 20,
    "qwertyuiopasdfghjklzxcvbnm" * 2,
    "qwertzuiopasdfghjklyxcvbnm" * 2,
    "azertyuiopqsdfghjklmwxcvbn" * 2,
)
"""Characters in the order of the alphabet and of keyboards."""

WEAKNESSES = {
    "email": N_("The password contains the name in your e-mail address. Choose another one."),
    "product": N_("The password contains the name of this product. Choose another one."),
    "repeated": N_("The password repeats the same characters. Choose another one."),
    "sequence": N_("The password is a sequence of characters. Choose another one."),
}
"""Why a password is guessed easily."""


def check_new_password(password: str, field: str, email: str | None) -> None:
    """Raise Invalid if a password is too short or long, or easily guessed for this address."""
    if len(password) < MIN_PASSWORD_LENGTH:
        reason = N_("A password has at least %(min_length)s characters.")
        raise Invalid("password_too_short", reason, field=field, min_length=MIN_PASSWORD_LENGTH)
    if len(password) > MAX_PASSWORD_LENGTH:
        reason = N_("A password has at most %(max_length)s characters.")
        raise Invalid("password_too_long", reason, field=field, max_length=MAX_PASSWORD_LENGTH)
    if not is_storable(password):
        reason = N_("The password contains a character that cannot be typed. Remove it.")
        raise Invalid("bad_character", reason, field=field)
    if weakness := _find_weakness(password, email or ""):
        raise Invalid("password_too_common", WEAKNESSES[weakness], field=field)


def _find_weakness(password: str, email: str) -> str:
    """Return why a password is guessed easily, as a key of WEAKNESSES, or "".

    There is no list of common passwords: docs/trust.md, check 5.
    """
    text, name = _normalize(password), _normalize(email.partition("@")[0])
    if len(name) >= 4 and name in text:  # shorter names are part of many words
        return "email"
    if any(product in text for product in ("missioncontrol", "openclaw")):
        return "product"
    folded = password.casefold()
    is_repeated = folded in (folded + folded)[1:-1]  # it consists of a shorter text
    if is_repeated or len(set(password)) < 4:
        return "repeated"
    if text and any(text in one or text[::-1] in one for one in SEQUENCES):
        return "sequence"
    return ""


def _normalize(text: str) -> str:
    """Return the letters and digits, in lower case."""
    return "".join(one for one in text.casefold() if one.isalnum())


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


def _stored_password_of(user: User) -> StoredPassword:
    if user.password_hash is None:
        return StoredPassword(None, DUMMY_HASH)
    return StoredPassword(user.id, user.password_hash)


async def _verify(stored: StoredPassword, password: str) -> VerifiedPassword | None:
    is_plausible = len(password) <= MAX_PASSWORD_LENGTH and is_storable(password)
    compared = password if is_plausible else ""
    is_match = await asyncio.to_thread(verify_password, compared, stored.hash)
    if is_match and is_plausible and stored.user_id:
        return VerifiedPassword(stored.user_id, stored.hash)
    return None


def _wrong_credentials() -> Unauthorized:
    reason = N_("The e-mail address or the password is not right.")
    return Unauthorized(reason, code="wrong_credentials")


def _wrong_current_password() -> Invalid:
    return Invalid("wrong_password", N_("This is not your password."), field="current")


async def create_password_link(session: AsyncSession, email: str) -> str:
    """Create a link for the user with this address, for the operator, and return its secret.

    It is valid once, for a day, and replaces an earlier link. Raises NotFound.
    """
    user = await find_user_by_email(session, email)
    if user is None:
        raise NotFound("account_not_found", f"No account has the e-mail address {email}.")
    user_row = await organizations.lock_user(session, user)
    await session.execute(delete(PasswordLink).where(PasswordLink.user_id == user_row.id))
    secret, at = generate_token("password"), now()
    row = PasswordLink(
        user_id=user_row.id,
        secret_hash=hash_token(secret),
        created_at=at,
        expires_at=at + timedelta(hours=24),
    )
    session.add(row)
    await session.flush()
    await _record_events(session, EventType.MEMBER_PASSWORD_LINKED, user_row, None)
    return secret


async def get_password_link_user(session: AsyncSession, secret: str) -> User:
    """Return the user that a link belongs to, without using it. Raises NotFound."""
    found = None
    if is_storable(secret):
        query = select(User).join(PasswordLink, PasswordLink.user_id == User.id)
        found = await session.scalar(query.where(*_valid_link_conditions(secret)))
    if found is None:
        raise _password_link_over()
    return found


async def reset_password(session: AsyncSession, secret: str, *, new_hash: str) -> User:
    """Consume a link, set the password of its user and end all their sessions.

    Of two concurrent calls the second fails. Raises NotFound.
    """
    user_row = await organizations.lock_user(session, await get_password_link_user(session, secret))
    used = delete(PasswordLink).where(*_valid_link_conditions(secret)).returning(PasswordLink.id)
    if await session.scalar(used) is None:
        raise _password_link_over()
    changes = await set_password(session, user_row, new_hash=new_hash)
    records = await audit.list_account_records(session, user_row, changes)
    changed = EventType.MEMBER_PASSWORD_CHANGED
    await _record_events(session, changed, user_row, user_row, records)
    return user_row


async def _record_events(
    session: AsyncSession,
    type: EventType,
    user: User,
    actor: User | None,
    audit_records: Sequence[NewAuditRecord] = (),
) -> None:
    """Record an event in each organization of the user. Without an actor it was the operator."""
    organization_ids = select(Member.organization_id).where(Member.user_id == user.id)
    data = {"name": user.display_name, "user_id": str(user.id)}
    new_events = [
        NewEvent(type, actor, organization_id=id, data=data)
        for id in await session.scalars(organization_ids)
    ]
    await events.record_events(session, new_events, audit_records)


def _valid_link_conditions(secret: str) -> tuple[ColumnElement[bool], ...]:
    return PasswordLink.secret_hash == hash_token(secret), PasswordLink.expires_at > now()


def _password_link_over() -> NotFound:
    reason = N_("This link was used or replaced, has expired, or a part of it is missing.")
    return NotFound("password_link_invalid", reason)
