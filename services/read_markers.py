"""What people have not read yet: comments of tasks, chats of boards, and questions that wait.

A marker is the number of the last event that somebody has seen, since those are in order of their
commits; a time would pass by what was written before it and appears after it.
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

from kit.clock import now
from kit.errors import NotFound
from kit.paging import MOST, Page, Paging, paged_rows
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

RECENT = timedelta(days=30)  # what happened before that is no news to anybody
NOTE_ID = cast(Event.data["memory_id"].astext, Uuid)  # of an event that tells of a note


@dataclass(frozen=True)
class Unread:
    """How much somebody has not read in one place, and how far they have read there."""

    board_id: UUID
    kind: ReadKind
    task_id: UUID | None  # of comments only
    count: int = 0
    latest_at: datetime | None = None  # when the newest of it came
    seen_seq: int | None = None  # None: they were never there
    seen_at: datetime | None = None


class Remark(NamedTuple):
    """A comment or a message, by its id, and the number of the event that told of it."""

    id: UUID
    seq: int


async def unread(
    session: AsyncSession, member: Member, paging: Paging, *, board_id: UUID | None = None
) -> Page[Unread]:
    """Return where there is something that a member has not read, the newest first.

    That is on all boards that they read, or on one of them. What somebody has written themselves
    they have read, and what is older than their membership is no news to them.
    """
    readable = boards.readable(member.user, member.organization_id)
    here = Event.board_id.in_(readable)
    if board_id is not None:
        here &= Event.board_id == board_id
    query = _counted(member.user, here & (Event.created_at >= member.created_at))
    return (await paged_rows(session, query, paging)).map(lambda row: Unread(*row))


async def boards_with_news(session: AsyncSession, member: Member) -> set[UUID]:
    """Return the boards on which others commented since a member last looked at them.

    A board as a whole is looked at by `mark` for comments, without a task. What was read on its
    task is no news either.
    """
    looked, read = aliased(ReadMarker), aliased(ReadMarker)
    looked_at = select(looked.seen_seq).where(_is(looked, member.user, Board.id, None))
    news = (
        select(Event.id)
        .outerjoin(read, _is(read, member.user, Event.board_id, Event.task_id))
        .where(
            Event.board_id == Board.id,
            *_comments_of_others(member.user),
            Event.created_at >= max(member.created_at, now() - RECENT),
            Event.seq > func.coalesce(looked_at.correlate(Board).scalar_subquery(), 0),
            Event.seq > func.coalesce(read.seen_seq, 0),
        )
        .correlate(Board)
    )
    mine = Board.id.in_(boards.readable(member.user, member.organization_id))
    return set(await session.scalars(select(Board.id).where(mine, news.exists())))


async def seen_up_to(
    session: AsyncSession,
    user: User,
    board: Board,
    task_id: UUID | None = None,
    *,
    kind: ReadKind = ReadKind.COMMENTS,
) -> int | None:
    """Return how far somebody has read in one place, None if they never were there."""
    marker = _is(ReadMarker, user, board.id, task_id, kind)
    return await session.scalar(select(ReadMarker.seen_seq).where(marker))


async def said_after(
    session: AsyncSession, user: User, board: Board, task_id: UUID, seq: int
) -> Sequence[Remark]:
    """Return what others have said about a task after an event, in order."""
    query = select(Event.id, Event.seq).where(
        Event.board_id == board.id,
        Event.task_id == task_id,
        Event.seq > seq,
        *_comments_of_others(user),
    )
    return [Remark(*row) for row in await session.execute(query.order_by(Event.seq).limit(MOST))]


async def chatted_after(
    session: AsyncSession, user: User, board: Board, seq: int
) -> Sequence[Remark]:
    """Return what others have said in a board's chat after an event, in order."""
    query = select(Note.id, Event.seq).join(Note, Note.id == NOTE_ID)
    query = query.where(
        Event.board_id == board.id,
        Event.type == EventType.BOARD_MEMORY_CREATED,
        Event.seq > seq,
        Note.is_chat,
        _of_others(user),
    )
    return [Remark(*row) for row in await session.execute(query.order_by(Event.seq).limit(MOST))]


async def mark(
    session: AsyncSession,
    user: User,
    board: Board,
    kind: ReadKind,
    *,
    task_id: UUID | None = None,
    seen: int | None = None,
) -> Unread:
    """Note how far somebody has read on a board that they may read: to an event, or to the end.

    A marker never goes back. Raises NotFound for a task that is not on the board.
    """
    latest = await events.latest(session, board.organization_id)
    seq = latest if seen is None else min(seen, latest)
    row = (await session.execute(_moved(user, board, kind, task_id, seq))).one_or_none()
    if row is None:
        raise NotFound("task_not_found", "There is no such task on this board.")
    place = Unread(board.id, kind, task_id, seen_seq=row.seen_seq, seen_at=row.seen_at)
    here = (Event.board_id == board.id) & (Event.seq > row.seen_seq)
    left = (await session.execute(_counted(user, here, kind, task_id))).one_or_none()
    return Unread(*left) if left is not None else place


def _moved(user: User, board: Board, kind: ReadKind, task_id: UUID | None, seq: int) -> Any:
    """Move a marker on, or make it; nothing, if what it is about is not there any more."""
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
    there = select(*values.values()).join_from(Board, User, User.id == user.id)
    if task_id is not None:
        there = there.join(Task, (Task.board_id == Board.id) & (Task.id == task_id))
    there = there.where(Board.id == board.id)
    there = there.with_for_update(read=True, key_share=True)
    made = insert(ReadMarker).from_select(list(values), there)
    further = func.greatest(ReadMarker.seen_seq, made.excluded.seen_seq)
    return made.on_conflict_do_update(
        constraint="uq_read_markers_one_each",
        set_={"seen_seq": further, "seen_at": made.excluded.seen_at},
    ).returning(ReadMarker.seen_seq, ReadMarker.seen_at)


def _counted(
    user: User,
    here: ColumnElement[bool],
    kind: ReadKind | None = None,
    task_id: UUID | None = None,
) -> Select[*tuple[Any, ...]]:
    """Select how much is unread in each place, in the order of the fields of `Unread`.

    Where something happened last comes first: no two places share an event.
    """
    news = _news(user, here)
    latest_at = func.max(news.c.created_at)
    query = (
        select(
            *(news.c.board_id, news.c.kind, news.c.task_id, func.count(), latest_at),
            *(ReadMarker.seen_seq, ReadMarker.seen_at),
        )
        .outerjoin(ReadMarker, _marks(user, news))
        .where(news.c.seq > func.coalesce(ReadMarker.seen_seq, 0))
        .group_by(news.c.board_id, news.c.kind, news.c.task_id)
        .group_by(ReadMarker.seen_seq, ReadMarker.seen_at)
        .order_by(func.max(news.c.seq).desc())
    )
    if kind is None:
        return query
    return query.where(news.c.kind == kind, news.c.task_id.is_not_distinct_from(task_id))


def _is(
    marker: type[ReadMarker],
    user: User,
    board_id: Any,
    task_id: Any,
    kind: ReadKind = ReadKind.COMMENTS,
) -> ColumnElement[bool]:
    """Say that a marker is the one of a task's comments, or, without a task, of the board's."""
    return and_(
        marker.user_id == user.id,
        marker.board_id == board_id,
        marker.kind == kind,
        marker.task_id.is_(None) if task_id is None else marker.task_id == task_id,
    )


def _comments_of_others(user: User) -> Sequence[ColumnElement[bool]]:
    return Event.type == EventType.TASK_COMMENT, _of_others(user)


def _of_others(user: User) -> ColumnElement[bool]:
    return or_(Event.user_id.is_(None), Event.user_id != user.id)


def _marks(user: User, news: Subquery) -> ColumnElement[bool]:
    return and_(
        ReadMarker.user_id == user.id,
        ReadMarker.board_id == news.c.board_id,
        ReadMarker.kind == news.c.kind,
        ReadMarker.task_id.is_not_distinct_from(news.c.task_id),
    )


def _news(user: User, here: ColumnElement[bool]) -> Subquery:
    """Select what others have said and asked lately, as far as it is still there."""
    recent = here & _of_others(user) & (Event.created_at >= now() - RECENT)
    said = _of(ReadKind.COMMENTS, Event.task_id).join(Comment, Comment.id == Event.id)
    talk = _of(ReadKind.CHAT, cast(null(), Uuid)).join(Note, Note.id == NOTE_ID)
    asked = _of(ReadKind.APPROVALS, cast(null(), Uuid))
    asked = asked.join(Approval, Approval.id == Event.approval_id)
    parts: Sequence[Select[Any]] = (
        said.where(recent, Event.type == EventType.TASK_COMMENT),
        talk.where(recent, Event.type == EventType.BOARD_MEMORY_CREATED, Note.is_chat),
        asked.where(recent, Event.type == EventType.APPROVAL_REQUESTED, approvals.WAITING),
    )
    return union_all(*parts).subquery("news")


def _of(kind: ReadKind, task_id: Any) -> Select[*tuple[Any, ...]]:
    shown = literal(kind, ReadMarker.__table__.c.kind.type).label("kind")
    return select(Event.board_id, shown, task_id.label("task_id"), Event.seq, Event.created_at)
