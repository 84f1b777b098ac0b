"""Record and list the users who are viewing a board."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import Board, Presence, User, new_id

RECORD_INTERVAL = 10.0  # seconds, as long as a page is open
ABSENT_AFTER = timedelta(seconds=25)  # since the last record


class BoardViewer(NamedTuple):
    """A user, and since when they have had a page of the board open."""

    user: User
    since: datetime


async def record_viewer(session: AsyncSession, user: User, board_id: UUID) -> None:
    """Record that a user is viewing a board. The caller checks the read permission.

    No event is recorded. Nothing happens if the board or the user is deleted at the same time.
    """
    at = now()
    values = {
        "id": literal(new_id()),
        "board_id": Board.id,
        "user_id": User.id,
        "since": literal(at),
        "seen_at": literal(at),
    }
    row = select(*values.values()).join_from(Board, User, User.id == user.id)
    row = row.where(Board.id == board_id).with_for_update(read=True, key_share=True)
    statement = insert(Presence).from_select(list(values), row)
    was_absent = Presence.seen_at < at - ABSENT_AFTER
    since = case((was_absent, statement.excluded.since), else_=Presence.since)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["board_id", "user_id"],
            set_={"since": since, "seen_at": statement.excluded.seen_at},
        )
    )


async def list_viewer_ids(session: AsyncSession, board_id: UUID) -> set[UUID]:
    """Return the ids of the users viewing a board. The caller checks the read permission."""
    query = select(Presence.user_id).where(_is_present(board_id))
    return set(await session.scalars(query))


async def list_viewers(session: AsyncSession, board: Board) -> Sequence[BoardViewer]:
    """Return the users who are viewing a board, in the order of their arrival."""
    query = (
        select(User, Presence.since)
        .join(Presence, Presence.user_id == User.id)
        .where(_is_present(board.id))
        .order_by(Presence.since, User.id)
    )
    return [BoardViewer(*row) for row in await session.execute(query)]


def _is_present(board_id: UUID) -> ColumnElement[bool]:
    return and_(Presence.board_id == board_id, Presence.seen_at >= now() - ABSENT_AFTER)
