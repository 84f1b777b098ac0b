"""People: their own profile."""

from collections.abc import Mapping

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Unauthorized
from kit.values import Check, checked, optional, text
from models import User

LONGEST_NAME = 200  # characters
LONGEST_TEXT = 20_000  # characters of notes and context

PROFILE: Mapping[str, Check] = {
    "name": optional(text(LONGEST_NAME)),
    "preferred_name": optional(text(LONGEST_NAME)),
    "pronouns": optional(text(LONGEST_NAME)),
    "timezone": optional(text(LONGEST_NAME)),
    "notes": optional(text(LONGEST_TEXT)),
    "context": optional(text(LONGEST_TEXT)),
}
"""What people may say about themselves; nothing of it is required (contract, 3.2)."""


async def hold(session: AsyncSession, user: User) -> User:
    """Return a person's row, that nobody else can change until the commit.

    Raises Unauthorized when the person is gone.
    """
    query = select(User).where(User.id == user.id).with_for_update(key_share=True)
    held = await session.scalar(query.execution_options(populate_existing=True))
    if held is None:
        raise Unauthorized
    return held


async def change_profile(session: AsyncSession, user: User, changes: Mapping[str, object]) -> User:
    """Change what a person says about themselves; only the fields that are given count.

    Raises Invalid with the field.
    """
    given = checked(PROFILE, changes)
    held = await hold(session, user)
    new = {name: value for name, value in given.items() if value != getattr(held, name)}
    for name, value in new.items():
        setattr(held, name, value)
    if new:
        held.updated_at = now()
    return held


async def set_profile(session: AsyncSession, user: User, changes: Mapping[str, object]) -> None:
    """Set some of what a person says about themselves, whatever it was. Raises Invalid."""
    new = checked(PROFILE, changes)
    if new:
        written = update(User).where(User.id == user.id).values(**new, updated_at=now())
        await session.execute(written.execution_options(synchronize_session=False))
