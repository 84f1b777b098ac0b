"""Read markers: how far users have read comments, chats and undecided approvals.

A marker is the number of the last event that the user has read. Numbers are in the order of the
commits. A time would skip what was written before it but committed after it.
"""

from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, cast, func, null, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.errors import NotFound
from core.text import N_
from models import (
    Board,
    Event,
    ReadKind,
    ReadMarker,
    Task,
    User,
    new_id,
)
from services.presence.unread import (
    BOARD_ID,
    MAX_UNREAD_AGE,
    SEQ,
    TASK_ID,
    USER_ID,
    UnreadSummary,
    build_summary,
    build_unread_query,
    is_marker_of,
)


async def find_read_position(
    source: Source,
    user: User,
    board: Board,
    task_id: UUID | None = None,
    *,
    kind: ReadKind = ReadKind.COMMENTS,
) -> int | None:
    """Return the number of the last event that a user has read in one place; None if never."""
    parameters = {"user_id": user.id, "board_id": board.id, "task_id": task_id}
    query = _build_position_query(kind, of_task=task_id is not None)
    found = await query.first(source, **parameters)
    return found[0] if found else None


@cache
def _build_position_query(kind: ReadKind, *, of_task: bool) -> Query[tuple[int]]:
    marker = is_marker_of(ReadMarker, BOARD_ID, TASK_ID if of_task else None, kind)
    return Query(select(ReadMarker.seen_seq).where(marker))


async def mark_read(
    session: AsyncSession,
    user: User,
    board: Board,
    kind: ReadKind,
    *,
    task_id: UUID | None = None,
    last_seq: int | None = None,
) -> UnreadSummary:
    """Record how far a user has read on a board, and return what remains unread.

    The arguments and errors are those of `move_read_marker`.
    """
    seen_seq, seen_at = await move_read_marker(
        session, user, board, kind, task_id=task_id, last_seq=last_seq
    )
    nothing_unread = UnreadSummary(board.id, kind, task_id, seen_seq=seen_seq, seen_at=seen_at)
    query = _build_unread_query(kind, of_task=task_id is not None)
    parameters = {"user_id": user.id, "board_id": board.id, "task_id": task_id}
    since = now() - MAX_UNREAD_AGE
    unread = await query.first(session, since=since, seq=seen_seq, **parameters)
    return unread if unread is not None else nothing_unread


async def move_read_marker(
    session: AsyncSession,
    user: User,
    board: Board,
    kind: ReadKind,
    *,
    task_id: UUID | None = None,
    last_seq: int | None = None,
) -> tuple[int, datetime]:
    """Record how far a user has read on a board: to event `last_seq`, by default to the last one.

    Returns the position of the marker and its time. The caller checks the read permission. A marker
    never moves backwards. Raises NotFound for a task that is not on the board.
    """
    place = {"user_id": user.id, "board_id": board.id, "task_id": task_id}
    marker = {"marker_id": new_id(), "marker_kind": kind, "seq": last_seq, "at": now()}
    statement = _build_move_statement(of_task=task_id is not None)
    row = (await session.execute(statement, {**place, **marker})).one_or_none()
    if row is None:
        raise NotFound("task_not_found", N_("There is no such task on this board."))
    return row.seen_seq, row.seen_at


@cache
def _build_unread_query(kind: ReadKind, *, of_task: bool) -> Query[UnreadSummary]:
    later = (Event.board_id == BOARD_ID) & (Event.seq > SEQ)
    return Query(build_unread_query(later, kind, of_task=of_task), build_summary)


@cache
def _build_move_statement(*, of_task: bool) -> Any:
    """Create a marker or move it forwards; no row if the board, task or user does not exist."""
    table: Any = ReadMarker.__table__
    columns = table.c
    newest = select(func.max(Event.seq)).where(Event.organization_id == Board.organization_id)
    latest = func.coalesce(newest.correlate(Board).scalar_subquery(), 0)
    values = {
        "id": bindparam("marker_id", type_=columns.id.type),
        "user_id": User.id,
        "board_id": Board.id,
        "kind": bindparam("marker_kind", type_=columns.kind.type),
        "task_id": Task.id if of_task else cast(null(), Uuid),
        "seen_seq": func.least(latest, SEQ),  # ignores a number that is not given
        "seen_at": bindparam("at", type_=columns.seen_at.type),
    }
    marker = select(*values.values()).join_from(Board, User, User.id == USER_ID)
    if of_task:
        marker = marker.join(Task, (Task.board_id == Board.id) & (Task.id == TASK_ID))
    marker = marker.where(Board.id == BOARD_ID).with_for_update(read=True, key_share=True)
    statement = insert(table).from_select(list(values), marker)
    return statement.on_conflict_do_update(
        constraint="uq_read_markers_one_each",
        set_={
            "seen_seq": func.greatest(columns.seen_seq, statement.excluded.seen_seq),
            "seen_at": statement.excluded.seen_at,
        },
    ).returning(columns.seen_seq, columns.seen_at)
