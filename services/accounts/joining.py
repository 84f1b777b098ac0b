"""Coming in with an invitation, for somebody who has no account yet."""

from sqlalchemy.ext.asyncio import AsyncSession

from models import User
from services import identity, organizations
from services.organizations import MemberDetail


async def join(
    session: AsyncSession, token: str, *, name: str, password_hash: str
) -> tuple[User, MemberDetail]:
    """Make an account for whoever an invitation is for, and let them in with it.

    The address is not verified by that: the token came from those who invite, not from its mailbox.
    Raises NotFound when the invitation is dead, Invalid about the name, and Conflict if the address
    has an account: then they sign in and accept.
    """
    invite = await organizations.open_invite(session, token)
    user = await identity.new_account(
        session, name=name, email=invite.invited_email, password_hash=password_hash
    )
    return user, await organizations.accept_invite(session, user, token)
