"""Who has a page of a board open just now."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Board, Presence, User, new_id

NOTED_EVERY = 10.0  # seconds, for as long as a page is open
GONE_AFTER = timedelta(seconds=25)  # without a note


class Visitor(NamedTuple):
    """A person, and since when they have had a page of the board open."""

    user: User
    since: datetime


async def note(session: AsyncSession, user: User, board_id: UUID) -> None:
    """Note that somebody has a page of a board open that they may read.

    No event is recorded. A board or a person that is being deleted is no trouble.
    """
    at = now()
    values = {
        "id": literal(new_id()),
        "board_id": Board.id,
        "user_id": User.id,
        "since": literal(at),
        "seen_at": literal(at),
    }
    there = select(*values.values()).join_from(Board, User, User.id == user.id)
    there = there.where(Board.id == board_id).with_for_update(read=True, key_share=True)
    seen = insert(Presence).from_select(list(values), there)
    was_away = Presence.seen_at < at - GONE_AFTER
    since = case((was_away, seen.excluded.since), else_=Presence.since)
    await session.execute(
        seen.on_conflict_do_update(
            index_elements=["board_id", "user_id"],
            set_={"since": since, "seen_at": seen.excluded.seen_at},
        )
    )


async def ids_here(session: AsyncSession, board_id: UUID) -> set[UUID]:
    """Return who has a page of a board open now that the caller may read, by their ids."""
    query = select(Presence.user_id).where(_is_here(board_id))
    return set(await session.scalars(query))


async def here(session: AsyncSession, board: Board) -> Sequence[Visitor]:
    """Return who has a page of a board open now, the first who came first."""
    query = (
        select(User, Presence.since)
        .join(Presence, Presence.user_id == User.id)
        .where(_is_here(board.id))
        .order_by(Presence.since, User.id)
    )
    return [Visitor(*row) for row in await session.execute(query)]


def _is_here(board_id: UUID) -> ColumnElement[bool]:
    return and_(Presence.board_id == board_id, Presence.seen_at >= now() - GONE_AFTER)
