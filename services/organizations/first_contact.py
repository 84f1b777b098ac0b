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
    return await current(session, user) or await _first(session, user)


async def _first(session: AsyncSession, user: User) -> Member:
    held = await users.hold(session, user)
    member = await current(session, held)
    if member is None:
        if not await accept_oldest_invite(session, held):
            await create(session, held, name=FIRST_NAME)
        member = await current(session, held)
    assert member is not None
    return member
