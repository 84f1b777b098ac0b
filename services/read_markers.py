"""What people have not read yet: comments of tasks, chats of boards, and questions that wait.

A marker is the number of the last event that somebody has seen, since those are in order of their
commits; a time would pass by what was written before it and appears after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
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

from kit.clock import now
from kit.errors import NotFound
from kit.paging import Page, Paging, paged_rows
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


def _marks(user: User, news: Subquery) -> ColumnElement[bool]:
    return and_(
        ReadMarker.user_id == user.id,
        ReadMarker.board_id == news.c.board_id,
        ReadMarker.kind == news.c.kind,
        ReadMarker.task_id.is_not_distinct_from(news.c.task_id),
    )


def _news(user: User, here: ColumnElement[bool]) -> Subquery:
    """Select what others have said and asked lately, as far as it is still there."""
    of_others = or_(Event.user_id.is_(None), Event.user_id != user.id)
    recent = here & of_others & (Event.created_at >= now() - RECENT)
    said = _of(ReadKind.COMMENTS, Event.task_id).join(Comment, Comment.id == Event.id)
    note_id = cast(Event.data["memory_id"].astext, Uuid)
    talk = _of(ReadKind.CHAT, cast(null(), Uuid)).join(Note, Note.id == note_id)
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
