"""Record and list the users who are viewing a board."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, and_, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.listen import CHANNEL
from core.db.reads import Query, Source
from models import Board, Presence, User, new_id

TOPIC = "presence"  # of notifications, with the id of a board
ABSENT_AFTER = timedelta(seconds=25)  # since the last record
_ARRAYS = [bindparam(name, type_=ARRAY(Uuid())) for name in ("ids", "board_ids", "user_ids")]


class BoardViewer(NamedTuple):
    """A user, and since when they have had a page of the board open."""

    user: User
    since: datetime


class Visit(NamedTuple):
    """A user who has a page of a board open."""

    board_id: UUID
    user_id: UUID


_PRESENT = "presence.seen_at >= cast(:absent_since as timestamptz)"
_RECORD_VISITS = text(f"""
    with visits as (
        select visit.id, board.id as board_id, visitor.id as user_id
        from unnest(:ids, :board_ids, :user_ids) as visit (id, board_id, user_id)
        join boards as board on board.id = visit.board_id
        join users as visitor on visitor.id = visit.user_id
        order by board.id, visitor.id
        for key share of board, visitor skip locked
    ),
    arrivals as (
        select distinct visits.board_id from visits
        left join presences as presence
            on (presence.board_id, presence.user_id) = (visits.board_id, visits.user_id)
        where ({_PRESENT}) is not true
    ),
    notified as (
        select pg_notify(:channel, :topic || board_id) from arrivals
    ),
    recorded as (
        insert into presences as presence (id, board_id, user_id, since, seen_at)
        select id, board_id, user_id, :at, :at from visits
        on conflict (board_id, user_id) do update set
            since = case when {_PRESENT} then presence.since else excluded.since end,
            seen_at = excluded.seen_at
    )
    select presence.board_id, presence.user_id from presences as presence
    where presence.board_id = any(:board_ids) and {_PRESENT}
    and (select count(*) from notified) >= 0
    union
    select board_id, user_id from visits
""").bindparams(*_ARRAYS)  # noqa: S608 - the inserted text is a constant
"""Rows that are being deleted are skipped: nobody waits, and the next record includes the others.
The rows are in a fixed order, so that two processes do not wait for each other."""

_DELETE_VISITS = text("""
    with ended as (
        delete from presences where id in (
            select presence.id from presences as presence
            join unnest(:board_ids, :user_ids) as visit (board_id, user_id)
                on (presence.board_id, presence.user_id) = (visit.board_id, visit.user_id)
            order by presence.board_id, presence.user_id for update of presence
        )
        returning board_id
    )
    select pg_notify(:channel, :topic || board_id) from (select distinct board_id from ended) as one
""").bindparams(*_ARRAYS[1:])


async def record_visits(session: AsyncSession, visits: Collection[Visit]) -> set[Visit]:
    """Record that users are viewing boards, and return all users who are viewing these boards.

    The caller checks the read permissions. Arrivals are announced to all processes at the commit.
    No event is recorded. Nothing happens if a board or a user is deleted at the same time.
    """
    at = now()
    values = {
        "ids": [new_id() for _ in visits],
        "at": at,
        "absent_since": at - ABSENT_AFTER,
        **_notification_values(visits),
    }
    return {Visit(*row) for row in await session.execute(_RECORD_VISITS, values)}


async def end_visits(session: AsyncSession, visits: Collection[Visit]) -> None:
    """Record that users are not viewing boards any more, and announce it to all processes."""
    await session.execute(_DELETE_VISITS, _notification_values(visits))


def _notification_values(visits: Collection[Visit]) -> dict[str, object]:
    return {
        "board_ids": [visit.board_id for visit in visits],
        "user_ids": [visit.user_id for visit in visits],
        "channel": CHANNEL,
        "topic": f"{TOPIC}:",
    }


async def list_visits(session: AsyncSession, board_ids: Collection[UUID]) -> set[Visit]:
    """Return the users viewing these boards. The caller checks the read permissions."""
    query = select(Presence.board_id, Presence.user_id).where(
        Presence.board_id.in_(board_ids), Presence.seen_at >= now() - ABSENT_AFTER
    )
    return {Visit(*row) for row in await session.execute(query)}


async def list_viewers(source: Source, board: Board) -> Sequence[BoardViewer]:
    """Return the users who are viewing a board, in the order of their arrival."""
    return await VIEWERS.fetch(source, board_id=board.id, since=now() - ABSENT_AFTER)


IS_PRESENT = and_(
    Presence.board_id == bindparam("board_id"), Presence.seen_at >= bindparam("since")
)
VIEWERS: Query[BoardViewer] = Query(
    select(User, Presence.since)
    .join(Presence, Presence.user_id == User.id)
    .where(IS_PRESENT)
    .order_by(Presence.since, User.id),
    BoardViewer._make,
)
