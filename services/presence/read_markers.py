"""Read markers: how far users have read comments, chats and undecided approvals.

A marker is the number of the last event that the user has read. Numbers are in the order of the
commits. A time would skip what was written before it but committed after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    Uuid,
    and_,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.clock import now
from core.errors import NotFound
from core.paging import MAX_PAGE_SIZE, Page, Paging, fetch_page_of_rows
from models import (
    Approval,
    Board,
    Comment,
    Event,
    EventType,
    Member,
    Note,
    ReadKind,
    ReadMarker,
    Task,
    User,
    new_id,
)
from services import approvals, boards, events

MAX_UNREAD_AGE = timedelta(days=30)  # older events do not count as unread
NOTE_ID = cast(Event.data["memory_id"].astext, Uuid)  # of the event of a note


@dataclass(frozen=True)
class UnreadSummary:
    """The number of unread items in one place, and how far the user has read there."""

    board_id: UUID
    kind: ReadKind
    task_id: UUID | None  # only for comments
    count: int = 0
    latest_at: datetime | None = None  # the time of the newest item
    seen_seq: int | None = None  # None: never read
    seen_at: datetime | None = None


class UnreadItem(NamedTuple):
    """The id of a comment or a chat message, and the number of its event."""

    id: UUID
    seq: int


async def list_unread(
    session: AsyncSession, member: Member, paging: Paging, *, board_id: UUID | None = None
) -> Page[UnreadSummary]:
    """Return the places with unread items of a member, newest first.

    Includes all boards that the member may read, or one of them. Items that the member has written
    and items that are older than the membership do not count as unread.
    """
    readable = boards.readable_board_ids_query(member.user, member.organization_id)
    condition = Event.board_id.in_(readable)
    if board_id is not None:
        condition &= Event.board_id == board_id
    query = _unread_query(member.user, condition & (Event.created_at >= member.created_at))
    return (await fetch_page_of_rows(session, query, paging)).map(lambda row: UnreadSummary(*row))


async def list_boards_with_unread_comments(session: AsyncSession, member: Member) -> set[UUID]:
    """Return the boards with comments of others that a member has not read.

    A comment is read if the board as a whole (`mark_read` for comments without a task) or the task
    was marked as read after it.
    """
    board_marker, task_marker = aliased(ReadMarker), aliased(ReadMarker)
    board_seq = select(board_marker.seen_seq).where(
        _is_marker_of(board_marker, member.user, Board.id, None)
    )
    unread = (
        select(Event.id)
        .outerjoin(
            task_marker, _is_marker_of(task_marker, member.user, Event.board_id, Event.task_id)
        )
        .where(
            Event.board_id == Board.id,
            *_is_comment_of_other(member.user),
            Event.created_at >= max(member.created_at, now() - MAX_UNREAD_AGE),
            Event.seq > func.coalesce(board_seq.correlate(Board).scalar_subquery(), 0),
            Event.seq > func.coalesce(task_marker.seen_seq, 0),
        )
        .correlate(Board)
    )
    readable = Board.id.in_(boards.readable_board_ids_query(member.user, member.organization_id))
    return set(await session.scalars(select(Board.id).where(readable, unread.exists())))


async def find_read_position(
    session: AsyncSession,
    user: User,
    board: Board,
    task_id: UUID | None = None,
    *,
    kind: ReadKind = ReadKind.COMMENTS,
) -> int | None:
    """Return the number of the last event that a user has read in one place; None if never."""
    marker = _is_marker_of(ReadMarker, user, board.id, task_id, kind)
    return await session.scalar(select(ReadMarker.seen_seq).where(marker))


async def list_comments_after(
    session: AsyncSession, user: User, board: Board, task_id: UUID, seq: int
) -> Sequence[UnreadItem]:
    """Return the comments of others on a task after an event, in order."""
    query = select(Event.id, Event.seq).where(
        Event.board_id == board.id,
        Event.task_id == task_id,
        Event.seq > seq,
        *_is_comment_of_other(user),
    )
    return [
        UnreadItem(*row)
        for row in await session.execute(query.order_by(Event.seq).limit(MAX_PAGE_SIZE))
    ]


async def list_chat_messages_after(
    session: AsyncSession, user: User, board: Board, seq: int
) -> Sequence[UnreadItem]:
    """Return the chat messages of others on a board after an event, in order."""
    query = select(Note.id, Event.seq).join(Note, Note.id == NOTE_ID)
    query = query.where(
        Event.board_id == board.id,
        Event.type == EventType.BOARD_MEMORY_CREATED,
        Event.seq > seq,
        Note.is_chat,
        _is_of_other(user),
    )
    return [
        UnreadItem(*row)
        for row in await session.execute(query.order_by(Event.seq).limit(MAX_PAGE_SIZE))
    ]


async def mark_read(
    session: AsyncSession,
    user: User,
    board: Board,
    kind: ReadKind,
    *,
    task_id: UUID | None = None,
    last_seq: int | None = None,
) -> UnreadSummary:
    """Record how far a user has read on a board: to the event `seen`, by default to the last one.

    The caller checks the read permission. A marker never moves backwards. Raises NotFound for a
    task that is not on the board.
    """
    latest = await events.get_last_seq(session, board.organization_id)
    seq = latest if last_seq is None else min(last_seq, latest)
    statement = _move_marker_statement(user, board, kind, task_id, seq)
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise NotFound("task_not_found", "There is no such task on this board.")
    nothing_unread = UnreadSummary(
        board.id, kind, task_id, seen_seq=row.seen_seq, seen_at=row.seen_at
    )
    later = (Event.board_id == board.id) & (Event.seq > row.seen_seq)
    unread = (await session.execute(_unread_query(user, later, kind, task_id))).one_or_none()
    return UnreadSummary(*unread) if unread is not None else nothing_unread


def _move_marker_statement(
    user: User, board: Board, kind: ReadKind, task_id: UUID | None, seq: int
) -> Any:
    """Create a marker or move it forwards; no row if the board, task or user does not exist."""
    table = ReadMarker.__table__.c
    values = {
        "id": literal(new_id(), table.id.type),
        "user_id": User.id,
        "board_id": Board.id,
        "kind": literal(kind, table.kind.type),
        "task_id": Task.id if task_id else literal(None, Uuid()),
        "seen_seq": literal(seq, table.seen_seq.type),
        "seen_at": literal(now(), table.seen_at.type),
    }
    marker = select(*values.values()).join_from(Board, User, User.id == user.id)
    if task_id is not None:
        marker = marker.join(Task, (Task.board_id == Board.id) & (Task.id == task_id))
    marker = marker.where(Board.id == board.id)
    marker = marker.with_for_update(read=True, key_share=True)
    statement = insert(ReadMarker).from_select(list(values), marker)
    last_seq = func.greatest(ReadMarker.seen_seq, statement.excluded.seen_seq)
    return statement.on_conflict_do_update(
        constraint="uq_read_markers_one_each",
        set_={"seen_seq": last_seq, "seen_at": statement.excluded.seen_at},
    ).returning(ReadMarker.seen_seq, ReadMarker.seen_at)


def _unread_query(
    user: User,
    condition: ColumnElement[bool],
    kind: ReadKind | None = None,
    task_id: UUID | None = None,
) -> Select[*tuple[Any, ...]]:
    """Select the columns of `UnreadSummary` for each place with unread items, latest event first.

    The order is unambiguous, because no two places share an event.
    """
    items = _unread_events_subquery(user, condition)
    latest_at = func.max(items.c.created_at)
    query = (
        select(
            *(items.c.board_id, items.c.kind, items.c.task_id, func.count(), latest_at),
            *(ReadMarker.seen_seq, ReadMarker.seen_at),
        )
        .outerjoin(ReadMarker, _marker_condition(user, items))
        .where(items.c.seq > func.coalesce(ReadMarker.seen_seq, 0))
        .group_by(items.c.board_id, items.c.kind, items.c.task_id)
        .group_by(ReadMarker.seen_seq, ReadMarker.seen_at)
        .order_by(func.max(items.c.seq).desc())
    )
    if kind is None:
        return query
    return query.where(items.c.kind == kind, items.c.task_id.is_not_distinct_from(task_id))


def _is_marker_of(
    marker: type[ReadMarker],
    user: User,
    board_id: Any,
    task_id: Any,
    kind: ReadKind = ReadKind.COMMENTS,
) -> ColumnElement[bool]:
    """Return the condition for the marker of a task, or, without a task, of the board."""
    return and_(
        marker.user_id == user.id,
        marker.board_id == board_id,
        marker.kind == kind,
        marker.task_id.is_(None) if task_id is None else marker.task_id == task_id,
    )


def _is_comment_of_other(user: User) -> Sequence[ColumnElement[bool]]:
    return Event.type == EventType.TASK_COMMENT, _is_of_other(user)


def _is_of_other(user: User) -> ColumnElement[bool]:
    return or_(Event.user_id.is_(None), Event.user_id != user.id)


def _marker_condition(user: User, items: Subquery) -> ColumnElement[bool]:
    return and_(
        ReadMarker.user_id == user.id,
        ReadMarker.board_id == items.c.board_id,
        ReadMarker.kind == items.c.kind,
        ReadMarker.task_id.is_not_distinct_from(items.c.task_id),
    )


def _unread_events_subquery(user: User, condition: ColumnElement[bool]) -> Subquery:
    """Select recent comments, messages and approval requests of others that still exist."""
    recent = condition & _is_of_other(user) & (Event.created_at >= now() - MAX_UNREAD_AGE)
    comments = _kind_query(ReadKind.COMMENTS, Event.task_id).join(Comment, Comment.id == Event.id)
    chat = _kind_query(ReadKind.CHAT, cast(null(), Uuid)).join(Note, Note.id == NOTE_ID)
    requests = _kind_query(ReadKind.APPROVALS, cast(null(), Uuid))
    requests = requests.join(Approval, Approval.id == Event.approval_id)
    parts: Sequence[Select[Any]] = (
        comments.where(recent, Event.type == EventType.TASK_COMMENT),
        chat.where(recent, Event.type == EventType.BOARD_MEMORY_CREATED, Note.is_chat),
        requests.where(recent, Event.type == EventType.APPROVAL_REQUESTED, approvals.IS_UNDECIDED),
    )
    return union_all(*parts).subquery("items")


def _kind_query(kind: ReadKind, task_id: Any) -> Select[*tuple[Any, ...]]:
    kind_column = literal(kind, ReadMarker.__table__.c.kind.type).label("kind")
    return select(
        Event.board_id, kind_column, task_id.label("task_id"), Event.seq, Event.created_at
    )
