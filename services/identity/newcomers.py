"""The installation's first user: made by the first-run link, or by the shared local token.

Both mean the same person (contract, 1.9): whichever comes first makes the row, and the other
completes it.
"""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import User, new_id

FIRST_USER = "local-auth-user"
LOCK = "mission control: newcomers"


async def hold_newcomers(session: AsyncSession) -> None:
    """Let nobody else make the first user, or the link for them, until the commit."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(LOCK, 0))))


async def hold_first_user(session: AsyncSession) -> User:
    """Return the first user, made if need be, that nobody else can change until the commit."""
    await hold_newcomers(session)
    query = select(User).where(User.clerk_user_id == FIRST_USER).with_for_update(key_share=True)
    user = await session.scalar(query.execution_options(populate_existing=True))
    if user is None:
        at = now()
        user = User(id=new_id(), clerk_user_id=FIRST_USER, created_at=at, updated_at=at)
        session.add(user)
    return user


async def is_taken(session: AsyncSession, email: str, *, by_other_than: User) -> bool:
    """Say whether another person has this e-mail address."""
    others = select(User.id).where(
        func.lower(User.email) == func.lower(email), User.id != by_other_than.id
    )
    return await session.scalar(others) is not None
