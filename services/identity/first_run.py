"""The first run: the one link by which the first owner comes in."""

from sqlalchemy import Delete, delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Invalid, NotFound
from kit.secrets import fingerprint, new_token
from kit.values import email_address, words
from models import ExternalIdentity, FirstRunLink, User
from services.identity.newcomers import (
    LONGEST_NAME,
    hold_first_user,
    hold_newcomers,
    is_taken,
)


async def first_run_link(session: AsyncSession) -> str | None:
    """Return a fresh secret for the link, or None when the first owner has come in.

    The secrets that were given before are dead from now on.
    """
    await hold_newcomers(session)
    if not await _is_owner_missing(session):
        return None
    secret = new_token("first")
    await session.execute(delete(FirstRunLink))
    session.add(FirstRunLink(secret_hash=fingerprint(secret), created_at=now()))
    await session.flush()
    return secret


async def first_run_open(session: AsyncSession, secret: str | None) -> bool:
    """Say whether this secret still opens the first run; with None, whether it is yet to come."""
    if not await _is_owner_missing(session):
        return False
    if secret is None:
        return True
    alive = select(FirstRunLink.id).where(FirstRunLink.secret_hash == fingerprint(secret))
    return await session.scalar(alive.where(FirstRunLink.used_at.is_(None))) is not None


async def complete_first_run(
    session: AsyncSession, secret: str, *, name: str, email: str, password_hash: str
) -> User:
    """Use the link up, and return the first owner, who can sign in from now on.

    Two who use it at once do so one after the other, and the second finds it dead. Raises NotFound
    when it is dead, and Invalid with the field.
    """
    if not await first_run_open(session, secret):
        raise _dead()
    name, email = words(LONGEST_NAME)(name, "name"), email_address(email, "email")
    await _use_up(session, secret)
    user = await hold_first_user(session)
    if await is_taken(session, email, by_other_than=user):
        raise Invalid("email_taken", "Somebody else has this e-mail address.", field="email")
    user.name, user.email, user.password_hash = name, email, password_hash
    user.updated_at = now()
    await session.flush()
    return user


def reopening_first_run(*, without: User) -> Delete:
    """Return what lets a first owner come in again if nobody else than this person can sign in."""
    by_password = exists().where(User.password_hash.is_not(None), User.id != without.id)
    by_provider = exists().where(ExternalIdentity.user_id != without.id)
    return delete(FirstRunLink).where(~by_password, ~by_provider)


async def _is_owner_missing(session: AsyncSession) -> bool:
    """Say whether nobody can sign in yet, and nobody ever could."""
    come = or_(
        exists().where(FirstRunLink.used_at.is_not(None)),
        exists().where(User.password_hash.is_not(None)),
    )
    return not await session.scalar(select(come))


async def _use_up(session: AsyncSession, secret: str) -> None:
    await hold_newcomers(session)
    used = (
        update(FirstRunLink)
        .where(FirstRunLink.secret_hash == fingerprint(secret), FirstRunLink.used_at.is_(None))
        .values(used_at=now())
    )
    if await session.scalar(used.returning(FirstRunLink.id)) is None:
        raise _dead()


def _dead() -> NotFound:
    return NotFound("first_run_over", "This link has been used, or a newer one has been made.")
