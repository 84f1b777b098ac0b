"""Read markers: how far users have read comments, chats and approvals, and what is unread.

A marker is the number of the last event that the user has read. Numbers are in the order of the
commits. A time would skip what was written before it but committed after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Select,
    Subquery,
    Uuid,
    and_,
    bindparam,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.clock import now
from core.db.reads import AnySelect, CombinedQuery, Query, Source
from core.errors import NotFound
from core.paging import MAX_PAGE_SIZE, Page, PagedQuery, Paging
from core.text import N_
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
from services import boards, events, policies

MAX_UNREAD_AGE = timedelta(days=30)  # older events do not count as unread
NOTE_ID = cast(Event.data["memory_id"].astext, Uuid)  # of the event of a note
USER_ID = bindparam("user_id", type_=Uuid())
BOARD_ID = bindparam("board_id", type_=Uuid())
TASK_ID = bindparam("task_id", type_=Uuid())
SEQ = bindparam("seq", type_=BigInteger)
SINCE: ColumnElement[datetime] = bindparam("since", type_=DateTime(timezone=True))
IS_OF_OTHER = or_(Event.user_id.is_(None), Event.user_id != USER_ID)
IS_COMMENT_OF_OTHER = and_(Event.type == EventType.TASK_COMMENT, IS_OF_OTHER)


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


class ReadPosition(NamedTuple):
    """How far a user has read the comments of a task or the chat of a board."""

    last_seq: int  # number of the organization's last event
    read_up_to: int | None  # number of the last event that was read; None: never


class ReadState(NamedTuple):
    """How far a user has read the comments of a task or the chat of a board, and what followed."""

    last_seq: int  # number of the organization's last event
    read_up_to: int | None  # number of the last event that was read; None: never
    since: int | None  # number of the event after which items are new; None: nothing is new
    new_items: Sequence[UnreadItem]  # of others, in order


async def list_unread(
    source: Source, member: Member, paging: Paging, *, board_id: UUID | None = None
) -> Page[UnreadSummary]:
    """Return the places with unread items of a member, newest first.

    Includes all boards that the member may read, or one of them. Items that the member has written
    and items that are older than the membership do not count as unread.
    """
    query = _build_list_query(by_board=board_id is not None)
    return await query.fetch_page(source, paging, board_id=board_id, **_parameters(member))


@cache
def _build_list_query(*, by_board: bool) -> PagedQuery[UnreadSummary]:
    condition = Event.board_id.in_(boards.READABLE_BOARD_IDS)
    if by_board:
        condition &= Event.board_id == BOARD_ID
    return PagedQuery(
        _select_unread(condition),
        lambda row: UnreadSummary(*row),
        func.count().over(),
        is_planned_once=False,  # the plan is good only if PostgreSQL knows that "since" is recent
    )


def _parameters(member: Member) -> dict[str, Any]:
    return {
        "user_id": member.user_id,
        "organization_id": member.organization_id,
        "since": max(member.created_at, now() - MAX_UNREAD_AGE),
    }


class BoardUnread(NamedTuple):
    """What others have written on a board and a member has not read."""

    task_ids: frozenset[UUID]  # tasks with unread comments
    chat_count: int
    has_new_comments: bool  # since the member had the board open
    last_comment_seq: int  # of the newest unread comment; 0 without one


async def load_board_unread(source: Source, member: Member, board: Board) -> BoardUnread:
    """Load what a member has not read on a board; the rules are those of `list_unread`."""
    rows = await _build_board_query().fetch(source, board_id=board.id, **_parameters(member))
    of_tasks = [row for row in rows if row.kind is ReadKind.COMMENTS]
    return BoardUnread(
        frozenset(row.task_id for row in of_tasks if row.task_id),
        sum(row.count for row in rows if row.kind is ReadKind.CHAT),
        any(row.last_seq > row.board_seq for row in of_tasks),
        max((row.last_seq for row in of_tasks), default=0),
    )


class _UnreadPlace(NamedTuple):
    kind: ReadKind
    task_id: UUID | None
    count: int
    last_seq: int
    board_seq: int  # how far the member has read the board


@cache
def _build_board_query() -> Query[_UnreadPlace]:
    items = _unread_events_subquery(Event.board_id == BOARD_ID)
    marker = aliased(ReadMarker)
    board_seq = select(marker.seen_seq).where(is_marker_of(marker, BOARD_ID, None))
    query = _group_by_place(
        items,
        items.c.kind,
        items.c.task_id,
        func.count(),
        func.max(items.c.seq),
        func.coalesce(board_seq.scalar_subquery(), 0),
    )
    return Query(query, _UnreadPlace._make)


async def list_boards_with_unread_comments(
    source: Source, member: Member, board_ids: Sequence[UUID]
) -> set[UUID]:
    """Return those of these boards that have comments of others that a member has not read.

    A comment is read if the board as a whole (`mark_read` for comments without a task) or the task
    was marked as read after it.
    """
    parameters = _parameters(member) | {"board_ids": list(board_ids)}
    rows = await _build_unread_boards_query().fetch(source, **parameters)
    return {board_id for (board_id,) in rows}


@cache
def _build_unread_boards_query() -> Query[tuple[UUID]]:
    is_given = Board.id == func.any(bindparam("board_ids", type_=ARRAY(Uuid())))
    is_readable = Board.id.in_(boards.READABLE_BOARD_IDS)
    return Query(select(Board.id).where(is_given, is_readable, has_unread_comments()))


def has_unread_comments() -> ColumnElement[bool]:
    """Select whether the board has comments of others that the user `user_id` has not read.

    Comments from before `since` do not count.
    """

    def seen_seq(task_id: Any) -> ColumnElement[int]:
        marker = select(ReadMarker.seen_seq).where(is_marker_of(ReadMarker, Board.id, task_id))
        return func.coalesce(marker.correlate(Board, Event).scalar_subquery(), 0)

    unread = select(Event.id).where(
        Event.board_id == Board.id,
        IS_COMMENT_OF_OTHER,
        Event.created_at >= SINCE,
        Event.seq > seen_seq(None),
        Event.seq > seen_seq(Event.task_id),
    )
    return unread.correlate(Board).exists()


async def load_read_state(
    source: Source,
    user: User,
    board: Board,
    task_id: UUID | None = None,
    *,
    shown_since: int | None = None,
    position: ReadPosition | None = None,
) -> ReadState:
    """Load how far a user has read the comments of a task or, without one, the chat of a board.

    Items are new after the last event that was read, or after `shown_since` if that is before it:
    an open page keeps showing what was new when it was opened. `position` is given if it is loaded
    already.
    """
    place = {"user_id": user.id, "board_id": board.id, "task_id": task_id}
    if position is None:
        query = _build_read_position_query(of_task=task_id is not None)
        found = await query.fetch(source, organization_id=board.organization_id, **place)
        position = build_read_position(*found)
    since = position.read_up_to
    if shown_since is not None:
        since = min(shown_since, position.read_up_to or 0)
    items = CHAT_AFTER if task_id is None else COMMENTS_AFTER
    new_items = await items.fetch(source, seq=since or 0, **place)
    return ReadState(*position, since, new_items)


@cache
def _build_read_position_query(*, of_task: bool) -> CombinedQuery:
    return CombinedQuery(*list_read_position_queries(of_task=of_task))


def list_read_position_queries(*, of_task: bool) -> tuple[Query[Any], Query[Any]]:
    """Return the queries whose rows `build_read_position` takes."""
    kind = ReadKind.COMMENTS if of_task else ReadKind.CHAT
    is_own = is_marker_of(ReadMarker, BOARD_ID, TASK_ID if of_task else None, kind)
    return events.LAST_SEQ, Query(select(ReadMarker.seen_seq).where(is_own))


def build_read_position(last: Sequence[tuple[int]], markers: Sequence[tuple[int]]) -> ReadPosition:
    """Return a position made of the rows of its queries."""
    return ReadPosition(last[0][0] if last else 0, markers[0][0] if markers else None)


# Statements of their own: the plan is good only if PostgreSQL knows that few events follow.
COMMENTS_AFTER: Query[UnreadItem] = Query(
    select(Event.id, Event.seq)
    .where(
        Event.board_id == BOARD_ID, Event.task_id == TASK_ID, Event.seq > SEQ, IS_COMMENT_OF_OTHER
    )
    .order_by(Event.seq)
    .limit(MAX_PAGE_SIZE),
    UnreadItem._make,
)
CHAT_AFTER: Query[UnreadItem] = Query(
    select(Note.id, Event.seq)
    .join(Note, Note.id == NOTE_ID)
    .where(
        Event.board_id == BOARD_ID,
        Event.type == EventType.BOARD_MEMORY_CREATED,
        Event.seq > SEQ,
        Note.is_chat,
        IS_OF_OTHER,
    )
    .order_by(Event.seq)
    .limit(MAX_PAGE_SIZE),
    UnreadItem._make,
)


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
    return Query(_select_unread(later, kind, of_task=of_task), lambda row: UnreadSummary(*row))


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


def _select_unread(
    condition: ColumnElement[bool], kind: ReadKind | None = None, *, of_task: bool = False
) -> AnySelect:
    """Select the columns of `UnreadSummary` for each place with unread items, latest event first.

    The order is unambiguous, because no two places share an event.
    """
    items = _unread_events_subquery(condition)
    latest_at = func.max(items.c.created_at)
    query = _group_by_place(
        items,
        items.c.board_id,
        items.c.kind,
        items.c.task_id,
        func.count(),
        latest_at,
        items.c.seen_seq,
        items.c.seen_at,
    )
    if kind is None:
        return query
    task = items.c.task_id == TASK_ID if of_task else items.c.task_id.is_(None)
    return query.where(items.c.kind == kind, task)


def _group_by_place(items: Subquery, *columns: Any) -> AnySelect:
    """Select aggregates of the items by place, the latest event first."""
    place = (items.c.board_id, items.c.kind, items.c.task_id, items.c.seen_seq, items.c.seen_at)
    return select(*columns).group_by(*place).order_by(func.max(items.c.seq).desc())


def is_marker_of(
    marker: type[ReadMarker], board_id: Any, task_id: Any, kind: ReadKind = ReadKind.COMMENTS
) -> ColumnElement[bool]:
    """Return the condition for the user's marker of a task, or, without a task, of the board."""
    return and_(
        marker.user_id == USER_ID,
        marker.board_id == board_id,
        marker.kind == kind,
        marker.task_id.is_(None) if task_id is None else marker.task_id == task_id,
    )


def _unread_events_subquery(condition: ColumnElement[bool]) -> Subquery:
    """Select recent comments, messages and approval requests of others that still exist.

    And that are after the user's marker of their place.
    """
    recent = condition & IS_OF_OTHER & (Event.created_at >= SINCE)
    comments = _kind_query(ReadKind.COMMENTS, Event.task_id).join(Comment, Comment.id == Event.id)
    chat = _kind_query(ReadKind.CHAT).join(Note, Note.id == NOTE_ID)
    requests = _kind_query(ReadKind.APPROVALS).join(Approval, Approval.id == Event.approval_id)
    parts: Sequence[Select[Any]] = (
        comments.where(recent, Event.type == EventType.TASK_COMMENT),
        chat.where(recent, Event.type == EventType.BOARD_MEMORY_CREATED, Note.is_chat),
        requests.where(recent, Event.type == EventType.APPROVAL_REQUESTED, policies.IS_UNDECIDED),
    )
    return union_all(*parts).subquery("items")


def _kind_query(kind: ReadKind, task_id: Any = None) -> Select[*tuple[Any, ...]]:
    # each kind joins its markers alone: the index of markers cannot find a task or none
    kind_column = literal(kind, ReadMarker.__table__.c.kind.type).label("kind")
    task = cast(null(), Uuid) if task_id is None else task_id
    event = (Event.board_id, kind_column, task.label("task_id"), Event.seq, Event.created_at)
    return (
        select(*event, ReadMarker.seen_seq, ReadMarker.seen_at)
        .outerjoin(ReadMarker, is_marker_of(ReadMarker, Event.board_id, task_id, kind))
        .where(Event.seq > func.coalesce(ReadMarker.seen_seq, 0))
    )
