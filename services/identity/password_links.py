"""Password links: how a user who has forgotten the password sets another one."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import NotFound
from core.security.secrets import generate_token, hash_token
from core.text import N_, is_storable
from models import EventType, Member, PasswordLink, User
from services import audit, events, organizations
from services.audit import NewAuditRecord
from services.events import NewEvent
from services.identity.passwords import find_user_by_email, set_password

PASSWORD_LINK_LIFETIME = timedelta(hours=24)


async def create_password_link(session: AsyncSession, email: str) -> str:
    """Create a link for the user with this address, for the operator, and return its secret.

    It is valid once, for a day, and replaces an earlier link. Raises NotFound.
    """
    user = await find_user_by_email(session, email)
    if user is None:
        raise NotFound("account_not_found", f"Nobody has the e-mail address {email} here.")
    user_row = await organizations.lock_user(session, user)
    await session.execute(delete(PasswordLink).where(PasswordLink.user_id == user_row.id))
    secret, at = generate_token("password"), now()
    row = PasswordLink(
        user_id=user_row.id,
        secret_hash=hash_token(secret),
        created_at=at,
        expires_at=at + PASSWORD_LINK_LIFETIME,
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
    return NotFound("password_link_over", reason)
