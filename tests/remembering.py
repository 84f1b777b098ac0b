"""Groups of boards and notes, for the tests that need some."""

from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Board, BoardGroup, GroupNote, Note, Organization, new_id


def a_group(organization: Organization, name: str = "Birds", **fields: Any) -> BoardGroup:
    """Make a group of boards."""
    defaults = {"id": new_id(), "slug": name.lower(), "created_at": now(), "updated_at": now()}
    return BoardGroup(organization_id=organization.id, name=name, **(defaults | fields))


async def grouped(session: AsyncSession, *boards: Board, name: str = "Birds") -> BoardGroup:
    """Put boards of one organization into a group."""
    group = a_group(boards[0].organization, name)
    session.add(group)
    await session.flush()
    ids = [board.id for board in boards]
    await session.execute(update(Board).where(Board.id.in_(ids)).values(board_group_id=group.id))
    return group


def a_note(board: Board, content: str = "We ship on Friday.", **fields: Any) -> Note:
    """Make a note on a board."""
    return Note(board_id=board.id, content=content, **(_defaults() | fields))


def a_group_note(group: BoardGroup, content: str = "We ship together.", **fields: Any) -> GroupNote:
    """Make a note in a group of boards."""
    return GroupNote(board_group_id=group.id, content=content, **(_defaults() | fields))


def _defaults() -> dict[str, Any]:
    return {"id": new_id(), "is_chat": False, "created_at": now(), "updated_at": now()}
