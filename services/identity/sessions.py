"""Sessions: the browsers in which a user is signed in."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.clock import now
from core.db.reads import Query, Source, set_loaded_values
from core.db.transactions import delete_unlocked
from core.errors import NotFound
from core.security.secrets import generate_token, hash_token
from core.text import N_
from models import (
    Member,
    Organization,
    PasswordLink,
    PendingSignIn,
    RevokedApiToken,
    SignIn,
    User,
)
from services import audit, organizations
from services.audit import AccountChange, AuditAction, AuditObject, NewAuditRecord

SESSION_KIND = "browser"  # of the secret; an earlier version used "session"
DEFAULT_SESSION_DAYS = 30  # the lifetime of a session, if the settings do not define it
DEFAULT_IDLE_DAYS = 14  # after which a session without a request ends
IS_VALID = (SignIn.expires_at > bindparam("at")) & (SignIn.last_seen_at > bindparam("used_after"))
ACTIVE_SESSION_ID = select(SignIn.id).where(SignIn.id == bindparam("sign_in_id"), IS_VALID)


async def start_session(
    session: AsyncSession,
    user: User,
    *,
    user_agent: str | None,
    ip: str | None,
    days: int = DEFAULT_SESSION_DAYS,
    authenticated_at: datetime | None = None,
) -> str:
    """Start a session of so many days, and return the secret of its cookie.

    `authenticated_at`: when the user proved who they are, if that was before now.
    """
    at = now()
    secret = generate_token(SESSION_KIND)
    row = SignIn(
        user_id=user.id,
        secret_hash=hash_token(secret),
        user_agent=_truncate(user_agent),
        ip=_truncate(ip),
        created_at=at,
        authenticated_at=min(authenticated_at or at, at),
        last_seen_at=at,
        expires_at=at + timedelta(days=days),
    )
    session.add(row)
    await session.flush()
    started, after = AuditObject("session", row.id), {"user_agent": row.user_agent}
    change = AccountChange(AuditAction.SESSION_STARTED, started, after=after)
    await audit.record_account_changes(session, user, [change])
    return secret


async def renew_session(session: AsyncSession, user: User, sign_in_id: UUID) -> str:
    """Give a session of the user a new secret after they proved who they are, and return it.

    Raises NotFound if it has ended.
    """
    secret, renewed = await replace_session_secret(session, user, sign_in_id)
    await audit.record_account_changes(session, user.id, [renewed])
    return secret


async def replace_session_secret(
    session: AsyncSession, user: User, sign_in_id: UUID
) -> tuple[str, AccountChange]:
    """Renew a session like `renew_session`; return also the change to record at the end."""
    secret = generate_token(SESSION_KIND)
    renewed = update(SignIn).where(SignIn.id == sign_in_id, SignIn.user_id == user.id)
    renewed = renewed.values(secret_hash=hash_token(secret), authenticated_at=now())
    if await session.scalar(renewed.returning(SignIn.id)) is None:
        raise NotFound("session_not_found", N_("You have no such session."))
    return secret, AccountChange(AuditAction.SESSION_RENEWED, AuditObject("session", sign_in_id))


class Viewer(NamedTuple):
    """The user of a session, and the organization in which they work."""

    sign_in: SignIn
    user: User
    member: Member | None  # None for a user without memberships


def _validity(idle_days: int) -> dict[str, datetime]:
    """Return the parameters of IS_VALID."""
    return {"at": now(), "used_after": now() - timedelta(days=idle_days)}


async def find_session(
    source: Source, cookie_secret: str, *, idle_days: int = DEFAULT_IDLE_DAYS
) -> Viewer | None:
    """Return the session of a cookie, or None if it is over or was not used for so many days.

    The rule for the organization is that of `organizations.find_current_membership`.
    """
    found = await SESSION.first(
        source, secret_hash=hash_token(cookie_secret), **_validity(idle_days)
    )
    if found is None:
        return None
    sign_in, user, member, organization = found
    set_loaded_values(sign_in, user=user)
    if member is not None and organization is not None:
        organizations.build_membership((member, organization, user))
    return Viewer(sign_in, user, member)


_Current = aliased(Member)
SESSION: Query[tuple[SignIn, User, Member | None, Organization | None]] = Query(
    select(SignIn, User, _Current, Organization)
    .join(SignIn.user)
    .outerjoin(_Current, _Current.id == organizations.current_membership_id_of_user())
    .outerjoin(Organization, Organization.id == _Current.organization_id)
    .where(SignIn.secret_hash == bindparam("secret_hash"), IS_VALID)
)


async def is_session_active(
    session: AsyncSession, sign_in_id: UUID, *, idle_days: int = DEFAULT_IDLE_DAYS
) -> bool:
    """Return whether a session is still valid; streams ask for this while they are open."""
    values = {"sign_in_id": sign_in_id, **_validity(idle_days)}
    return await session.scalar(ACTIVE_SESSION_ID, values) is not None


async def list_sessions(
    source: Source, user: User, *, idle_days: int = DEFAULT_IDLE_DAYS
) -> Sequence[SignIn]:
    """Return the user's valid sessions, the most recently used first."""
    return await USER_SESSIONS.fetch(source, user_id=user.id, **_validity(idle_days))


USER_SESSIONS: Query[SignIn] = Query(
    select(SignIn)
    .where(SignIn.user_id == bindparam("user_id"), IS_VALID)
    .order_by(SignIn.last_seen_at.desc(), SignIn.id),
    itemgetter(0),
)


async def end_session(session: AsyncSession, user: User, sign_in_id: UUID) -> None:
    """End one session of the user. Raises NotFound if it is not theirs."""
    ended = delete(SignIn).where(SignIn.id == sign_in_id, SignIn.user_id == user.id)
    if await session.scalar(ended.returning(SignIn.id)) is None:
        raise NotFound("session_not_found", N_("You have no such session."))
    await _record_end(session, user.id, AuditObject("session", sign_in_id))


async def end_other_sessions(session: AsyncSession, user: User, *, keep: UUID) -> None:
    """End all sessions of the user but one."""
    ended = await delete_sessions(session, user, keep=keep)
    await audit.record_account_changes(session, user.id, [ended])


async def delete_sessions(
    session: AsyncSession, user: User, *, keep: UUID | None = None
) -> AccountChange:
    """Delete the sessions of a user, or all but one, and return the change to record."""
    rows = delete(SignIn).where(SignIn.user_id == user.id)
    name = "all sessions"
    if keep is not None:
        rows, name = rows.where(SignIn.id != keep), "all other sessions"
    await session.execute(rows)
    return AccountChange(AuditAction.SESSION_ENDED, AuditObject("user", user.id, name))


async def end_member_sessions(session: AsyncSession, locked: organizations.LockedMember) -> None:
    """End all sessions of a locked member, for an admin. Raises Forbidden for a higher role.

    It is recorded only in this organization: others of the member must not learn about it.
    """
    organizations.check_may_manage_role(locked.by, locked.member.role)
    user = locked.member.user
    ended = await delete_sessions(session, user)
    target = AuditObject("user", user.id, user.display_name)
    organization_id = locked.by.organization_id
    record = NewAuditRecord(ended.action, target, organization_id=organization_id)
    await audit.record_audit(session, [record])


async def sign_out(session: AsyncSession, cookie_secret: str) -> None:
    """End the session of a cookie, if there is one."""
    ended = delete(SignIn).where(SignIn.secret_hash == hash_token(cookie_secret))
    row = (await session.execute(ended.returning(SignIn.id, SignIn.user_id))).one_or_none()
    if row is not None:
        await _record_end(session, row.user_id, AuditObject("session", row.id))


async def _record_end(session: AsyncSession, user_id: UUID, ended: AuditObject) -> None:
    change = AccountChange(AuditAction.SESSION_ENDED, ended)
    await audit.record_account_changes(session, user_id, [change])


def _truncate(text: str | None) -> str | None:
    return text.replace("\0", "")[:300] if text else None


async def delete_expired_credentials(
    session: AsyncSession, *, idle_days: int = DEFAULT_IDLE_DAYS
) -> int:
    """Delete what has expired: sessions, password links, sign-ins in progress, revoked API tokens.

    Streams of a deleted session end. It deletes a batch of each, and returns the number of rows.
    """
    expired = select(SignIn.id).where(~IS_VALID).params(_validity(idle_days))
    deleted = await delete_unlocked(session, SignIn, SignIn.id.in_(expired))
    for model in (PendingSignIn, PasswordLink, RevokedApiToken):
        deleted += await delete_unlocked(session, model, model.expires_at <= now())
    return deleted
