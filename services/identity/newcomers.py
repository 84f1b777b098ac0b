"""How people come to be here: the installation's first user, and whoever is let in later.

The first user is made by the first-run link, or by the shared local token. Both mean the same
person (contract, 1.9): whichever comes first makes the row, and the other completes it.
"""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict
from kit.values import email_address, words
from models import User, new_id

FIRST_USER = "local-auth-user"
LOCK = "mission control: newcomers"
LONGEST_NAME = 200  # characters


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


async def new_account(session: AsyncSession, *, name: str, email: str, password_hash: str) -> User:
    """Make an account that can be signed in to with a password.

    Raises Invalid with the field, and Conflict if the address has an account already.
    """
    name, email = words(LONGEST_NAME)(name, "name"), email_address(email, "email")
    at = now()
    user = User(id=new_id(), name=name, email=email, created_at=at, updated_at=at)
    user.clerk_user_id, user.password_hash = str(user.id), password_hash
    await hold_newcomers(session)
    if await is_taken(session, email, by_other_than=user):
        reason = "There is an account with this e-mail address. Sign in with it."
        raise Conflict("email_taken", reason, field="email")
    session.add(user)
    await session.flush()
    return user


async def is_taken(session: AsyncSession, email: str, *, by_other_than: User) -> bool:
    """Say whether another person has this e-mail address."""
    others = select(User.id).where(
        func.lower(User.email) == func.lower(email), User.id != by_other_than.id
    )
    return await session.scalar(others) is not None
