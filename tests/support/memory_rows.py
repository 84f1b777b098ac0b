"""Factories for board groups and notes."""

from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import Board, BoardGroup, GroupNote, Note, Organization, new_id


def make_board_group(organization: Organization, name: str = "Birds", **fields: Any) -> BoardGroup:
    """Build a board group."""
    defaults = {"id": new_id(), "slug": name.lower(), "created_at": now(), "updated_at": now()}
    return BoardGroup(organization_id=organization.id, name=name, **(defaults | fields))


async def create_group_of(session: AsyncSession, *boards: Board, name: str = "Birds") -> BoardGroup:
    """Create a group of boards of one organization."""
    group = make_board_group(boards[0].organization, name)
    session.add(group)
    await session.flush()
    ids = [board.id for board in boards]
    await session.execute(update(Board).where(Board.id.in_(ids)).values(board_group_id=group.id))
    return group


def make_note(board: Board, content: str = "We ship on Friday.", **fields: Any) -> Note:
    """Build a note of a board."""
    return Note(board_id=board.id, content=content, **(_defaults() | fields))


def make_group_note(
    group: BoardGroup, content: str = "We ship together.", **fields: Any
) -> GroupNote:
    """Build a note of a board group."""
    return GroupNote(board_group_id=group.id, content=content, **(_defaults() | fields))


def _defaults() -> dict[str, Any]:
    return {"id": new_id(), "is_chat": False, "created_at": now(), "updated_at": now()}
