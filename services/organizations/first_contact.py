"""In which organization somebody works, who may be here for the first time (contract, 1.11)."""

from sqlalchemy.ext.asyncio import AsyncSession

from models import Member, User
from services import users
from services.organizations.acceptance import accept_oldest_invite
from services.organizations.belonging import current
from services.organizations.edits import create

FIRST_NAME = "Personal"  # of the organization of somebody who comes in by the API


async def active(session: AsyncSession, user: User) -> Member:
    """Return the person's membership in the organization they work in, with both of them loaded.

    Where they are no longer a member, their oldest membership takes its place. Who has none comes
    in where they were first invited, if the address is verified, or gets one of their own.
    """
    member = await invited(session, user)
    if member is None:
        await create(session, user, name=FIRST_NAME)
        member = await current(session, user)
    assert member is not None
    return member


async def invited(session: AsyncSession, user: User) -> Member | None:
    """Do the same, but make no organization: None for somebody whom nobody has invited."""
    member = await current(session, user)
    if member is not None:
        return member
    held = await users.hold(session, user)
    member = await current(session, held)
    if member is None and await accept_oldest_invite(session, held):
        member = await current(session, held)
    return member
