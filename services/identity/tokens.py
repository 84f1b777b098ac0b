"""The tokens with which people's scripts call the API."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from kit.clock import now
from kit.errors import NotFound
from kit.secrets import fingerprint, new_token, prefix, same
from kit.settings import Settings
from kit.values import words
from models import ApiToken, User
from services.identity.newcomers import FIRST_USER, hold_first_user, is_taken

LONGEST_NAME = 100  # characters
LONGEST_TOKEN = 200  # characters that are looked at
USED_AGAIN = timedelta(minutes=1)  # between two notes of when a token was last used

LOCAL_EMAIL, LOCAL_NAME = "admin@home.local", "Local User"  # contract, 1.9


async def api_tokens(session: AsyncSession, user: User) -> Sequence[ApiToken]:
    """Return the person's tokens, newest first."""
    query = select(ApiToken).where(ApiToken.user_id == user.id)
    return (await session.scalars(query.order_by(ApiToken.created_at.desc(), ApiToken.id))).all()


async def create_api_token(session: AsyncSession, user: User, *, name: str) -> tuple[ApiToken, str]:
    """Make a token for this person, and return it with its secret, which is never seen again.

    Raises Invalid about the name.
    """
    secret = new_token("user")
    token = ApiToken(
        user_id=user.id,
        name=words(LONGEST_NAME)(name, "name"),
        prefix=prefix(secret),
        secret_hash=fingerprint(secret),
        created_at=now(),
    )
    session.add(token)
    await session.flush()
    return token, secret


async def revoke_api_token(session: AsyncSession, user: User, id: UUID) -> None:
    """End one of the person's tokens. Raises NotFound if they have no such token."""
    revoked = delete(ApiToken).where(ApiToken.id == id, ApiToken.user_id == user.id)
    if await session.scalar(revoked.returning(ApiToken.id)) is None:
        raise NotFound("api_token_not_found", "You have no such token.")


async def user_with_token(session: AsyncSession, token: str, settings: Settings) -> User | None:
    """Return the person to whom a token was given.

    In local mode the token of the settings is the first user's, who is made when it is first used.
    """
    if token.startswith("mc_user_"):
        return await _with_api_token(session, token)
    local = settings.local_auth_token
    if settings.auth_mode == "local" and local and same(token, local):
        return await _local_user(session)
    return None


def can_be_token(token: str) -> bool:
    """Say whether a text could be one of our tokens; others are not looked up."""
    return 0 < len(token) <= LONGEST_TOKEN and token.isascii() and token.isprintable()


async def _with_api_token(session: AsyncSession, token: str) -> User | None:
    if not can_be_token(token):
        return None
    query = (
        select(ApiToken)
        .join(ApiToken.user)
        .options(contains_eager(ApiToken.user))
        .where(ApiToken.prefix == prefix(token))
    )
    kept = fingerprint(token)
    for found in (await session.scalars(query)).all():
        if same(found.secret_hash, kept):
            await _note_use(session, found)
            return found.user
    return None


async def _note_use(session: AsyncSession, token: ApiToken) -> None:
    at = now()
    if token.last_used_at is None or token.last_used_at < at - USED_AGAIN:
        used = update(ApiToken).where(ApiToken.id == token.id)
        await session.execute(used.values(last_used_at=at))


async def _local_user(session: AsyncSession) -> User:
    """Return the first user, whose blank fields are filled (contract, 1.9)."""
    user = await session.scalar(select(User).where(User.clerk_user_id == FIRST_USER))
    if user and user.name and user.email:
        return user
    user = await hold_first_user(session)
    if not user.email and not await is_taken(session, LOCAL_EMAIL, by_other_than=user):
        user.email = LOCAL_EMAIL
    user.name = user.name or LOCAL_NAME
    await session.flush()
    return user
