"""Sessions: the browsers that somebody has signed in with."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from kit.clock import now
from kit.errors import NotFound
from kit.secrets import fingerprint, new_token
from models import PasswordLink, PendingSignIn, SignIn, User

DAYS = 30  # that a session lasts, unless the settings say otherwise
SEEN_AGAIN = timedelta(minutes=1)  # between two notes of when a browser was last seen
LONGEST_NOTE = 300  # characters of what a browser calls itself


async def start_session(
    session: AsyncSession,
    user: User,
    *,
    user_agent: str | None,
    ip: str | None,
    days: int = DAYS,
) -> str:
    """Let a browser be this person for so many days, and return the secret of its cookie."""
    at = now()
    secret = new_token("session")
    row = SignIn(
        user_id=user.id,
        secret_hash=fingerprint(secret),
        user_agent=_note(user_agent),
        ip=_note(ip),
        created_at=at,
        last_seen_at=at,
        expires_at=at + timedelta(days=days),
    )
    session.add(row)
    await session.flush()
    return secret


async def signed_in(session: AsyncSession, cookie_secret: str) -> SignIn | None:
    """Return the session that a cookie belongs to, with its person, or None if it is over."""
    at = now()
    query = (
        select(SignIn)
        .join(SignIn.user)
        .options(contains_eager(SignIn.user))
        .where(SignIn.secret_hash == fingerprint(cookie_secret), SignIn.expires_at > at)
    )
    found = await session.scalar(query)
    if found and found.last_seen_at < at - SEEN_AGAIN:
        seen = update(SignIn).where(SignIn.id == found.id, SignIn.last_seen_at < at - SEEN_AGAIN)
        await session.execute(seen.values(last_seen_at=at))
    return found


async def still_signed_in(session: AsyncSession, sign_in_id: UUID) -> bool:
    """Say whether a session is not over yet: for those who listen for long."""
    query = select(SignIn.id).where(SignIn.id == sign_in_id, SignIn.expires_at > now())
    return await session.scalar(query) is not None


async def sessions_of(session: AsyncSession, user: User) -> Sequence[SignIn]:
    """Return the person's sessions that are not over, the one last seen first."""
    query = select(SignIn).where(SignIn.user_id == user.id, SignIn.expires_at > now())
    return (await session.scalars(query.order_by(SignIn.last_seen_at.desc(), SignIn.id))).all()


async def end_session(session: AsyncSession, user: User, sign_in_id: UUID) -> None:
    """End one session of this person's. Raises NotFound if they have no such session."""
    ended = delete(SignIn).where(SignIn.id == sign_in_id, SignIn.user_id == user.id)
    if await session.scalar(ended.returning(SignIn.id)) is None:
        raise NotFound("session_not_found", "You have no such session.")


async def end_other_sessions(session: AsyncSession, user: User, *, keep: UUID) -> None:
    """End all sessions of this person's but one."""
    await session.execute(delete(SignIn).where(SignIn.user_id == user.id, SignIn.id != keep))


async def end_sessions(session: AsyncSession, user: User) -> None:
    """End all sessions of this person's."""
    await session.execute(delete(SignIn).where(SignIn.user_id == user.id))


async def sign_out(session: AsyncSession, cookie_secret: str) -> None:
    """End the session that a cookie belongs to, if there is one."""
    await session.execute(delete(SignIn).where(SignIn.secret_hash == fingerprint(cookie_secret)))


def _note(words: str | None) -> str | None:
    return words.replace("\0", "")[:LONGEST_NOTE] if words else None


async def purge_sign_ins(session: AsyncSession) -> None:
    """Forget the sessions and links that are over, and what nobody can finish any more."""
    for row in (SignIn, PendingSignIn, PasswordLink):
        await session.execute(delete(row).where(row.expires_at <= now()))
