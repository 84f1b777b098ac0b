"""Read which user a token belongs to."""

from sqlalchemy.ext.asyncio import AsyncSession

from core.config.settings import Settings
from models import User
from services import identity


async def authenticate_user(session: AsyncSession, token: str, settings: Settings) -> User | None:
    """Return the user that a token belongs to, or None."""
    credential = await identity.authenticate_user(session, token, settings)
    return credential.user if credential else None
