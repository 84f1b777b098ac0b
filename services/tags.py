"""Tags: an organization's labels for tasks."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Board, Tag


async def of_board(session: AsyncSession, board: Board) -> Sequence[Tag]:
    """Return the tags that tasks of a board may have, by name: those of its organization."""
    query = select(Tag).where(Tag.organization_id == board.organization_id)
    query = query.order_by(func.lower(Tag.name), Tag.created_at, Tag.id)
    return (await session.scalars(query)).all()
