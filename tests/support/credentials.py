"""Credentials of users: whose a token is, and what needs a recent sign-in."""

from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Agent, User
from services import identity, organizations
from services.identity.tokens import ImportedTokenVerifier


async def authenticate_user(session: AsyncSession, token: str, settings: Settings) -> User | None:
    """Return the user that a token belongs to, or None."""
    credential = await identity.authenticate_user(session, token, settings)
    return credential.user if credential else None


async def authenticate_agent(
    session: AsyncSession, token: str, imported: ImportedTokenVerifier | None = None
) -> Agent | None:
    """Return the agent that a token belongs to, or None."""
    credential = await identity.authenticate_agent(session, token, imported)
    return credential.agent if credential else None


async def delete_organization(transaction: TransactionFactory, user: User) -> None:
    """Delete the active organization of an owner who has signed in recently."""
    async with transaction() as session:
        member = await organizations.find_current_membership(session, user)
        assert member is not None
        await organizations.delete_organization(session, member, signed_in_at=now())
