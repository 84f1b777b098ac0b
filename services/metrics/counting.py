"""Counting all that the dashboard shows, in one statement.

Times are cut by the edges of a timeline, so each count comes with the number of its bucket.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    FromClause,
    Select,
    extract,
    func,
    literal,
    null,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession

from models import (
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    Event,
    EventType,
    Member,
    Status,
    Task,
)
from services import boards
from services.metrics.periods import Timeline

WEEK = timedelta(days=7)
NEWEST = 10  # questions that are shown

MOVES = (
    EventType.TASK_CREATED,
    EventType.TASK_STATUS_CHANGED,
    EventType.TASK_DELETED,
    EventType.TASK_RESTORED,
)
"""What brings a task into a status, or out of it: `entered` and `left` in the event say which."""

ARRIVED = (EventType.MESSAGE_SENT, EventType.MESSAGE_ACKNOWLEDGED)
LOST = EventType.MESSAGE_FAILED


@dataclass(frozen=True)
class Counts:
    """What was counted. Lists begin with the number of a bucket: 1 is the first."""

    reads: bool | None  # whether the member reads the board that was asked for; None: no such board
    statuses: dict[str, int]  # of the tasks as they stand
    active_agents: int
    done: Sequence[tuple[int, int, float | None]]  # tasks, and their mean hours
    median_hours: float | None
    messages: Sequence[tuple[int, int, int]]  # that failed, and all that came to an end
    messages_now: tuple[int, int]  # the same of the whole window up to now
    moves: Sequence[tuple[int, str | None, str | None, int]]  # from, to, and how many tasks
    pending: int
    pending_newest: Sequence[dict[str, Any]]


async def count(
    session: AsyncSession,
    member: Member,
    time: Timeline,
    *,
    board_id: UUID | None,
    group_id: UUID | None,
) -> Counts:
    """Count what is on the boards that a member reads; on one, or on those of a group."""
    there = _scope(member, board_id, group_id)
    start, end = time.primary.start, time.primary.end
    query = select(
        _reads(member, board_id),
        _statuses(there),
        _active_agents(there, start, end),
        _done(there, time.edges),
        _median_hours(there, end),
        _messages(there, time.edges),
        _messages_between(there, start, end),
        _moves(there, time.edges),
        _pending(there),
        _pending_newest(there),
    )
    return Counts(*(await session.execute(query)).one())


def _scope(member: Member, board_id: UUID | None, group_id: UUID | None) -> Select[UUID]:
    query = select(Board.id).where(
        Board.id.in_(boards.readable(member.user, member.organization_id))
    )
    if board_id is not None:
        query = query.where(Board.id == board_id)
    if group_id is not None:
        query = query.where(Board.board_group_id == group_id)
    return select(query.cte("scope").c.id)


def _reads(member: Member, board_id: UUID | None) -> ColumnElement[Any]:
    if board_id is None:
        return null()
    seen = boards.seen_by(member.user).where(
        Board.id == board_id, Board.organization_id == member.organization_id
    )
    return select(seen.subquery().c.reads).scalar_subquery()


def _statuses(there: Select[UUID]) -> ColumnElement[Any]:
    counted = select(Task.status, func.count().label("tasks")).where(Task.board_id.in_(there))
    found = counted.group_by(Task.status).subquery()
    counts = func.jsonb_object_agg(found.c.status, found.c.tasks)
    return select(func.coalesce(counts, func.jsonb_build_object())).scalar_subquery()


def _active_agents(there: Select[UUID], start: datetime, end: datetime) -> ColumnElement[int]:
    query = select(func.count()).select_from(Agent)
    seen = Agent.last_seen_at.between(start, end)
    return query.where(Agent.board_id.in_(there), seen).scalar_subquery()


def _done(there: Select[UUID], edges: Sequence[datetime]) -> ColumnElement[Any]:
    """Count the tasks that are done by when that was, with their mean hours from start to end."""
    number = _bucket(Task.done_at, edges)
    query = select(number, func.count(), func.avg(_hours())).where(
        *_finished(there), Task.done_at >= edges[0]
    )
    return _rows(query.group_by(number))


def _median_hours(there: Select[UUID], end: datetime) -> ColumnElement[Any]:
    median = func.percentile_cont(0.5).within_group(_hours())
    since = Task.done_at > end - WEEK
    query = select(median).where(*_finished(there), since, Task.done_at <= end)
    return query.where(Task.started_at.is_not(None)).scalar_subquery()


def _messages(there: Select[UUID], edges: Sequence[datetime]) -> ColumnElement[Any]:
    number = _bucket(Event.created_at, edges)
    query = select(number, *_fates()).where(*_ended(there), Event.created_at >= edges[0])
    return _rows(query.group_by(number))


def _messages_between(there: Select[UUID], start: datetime, end: datetime) -> ColumnElement[Any]:
    query = select(func.jsonb_build_array(*_fates())).where(*_ended(there))
    return query.where(Event.created_at.between(start, end)).scalar_subquery()


def _moves(there: Select[UUID], edges: Sequence[datetime]) -> ColumnElement[Any]:
    number = _bucket(Event.created_at, edges)
    left, entered = Event.data["left"].astext, Event.data["entered"].astext
    query = select(number, left, entered, func.count()).where(
        Event.board_id.in_(there), Event.type.in_(MOVES), Event.created_at >= edges[0]
    )
    return _rows(query.group_by(number, left, entered))


def _pending(there: Select[UUID]) -> ColumnElement[int]:
    return select(func.count()).select_from(Approval).where(*_asked(there)).scalar_subquery()


def _pending_newest(there: Select[UUID]) -> ColumnElement[Any]:
    query = (
        select(
            Approval.id.label("approval_id"),
            Approval.board_id,
            Board.name.label("board_name"),
            Approval.action_type,
            Approval.confidence,
            Approval.created_at,
            Task.title.label("task_title"),
        )
        .join(Board, Board.id == Approval.board_id)
        .outerjoin(Task, Task.id == Approval.task_id)
        .where(*_asked(there))
        .order_by(Approval.created_at.desc(), Approval.id.desc())
        .limit(NEWEST)
    )
    found = query.subquery("newest")
    items = func.jsonb_agg(func.to_jsonb(found.table_valued()))
    return select(func.coalesce(items, func.jsonb_build_array())).scalar_subquery()


def _asked(there: Select[UUID]) -> list[ColumnElement[bool]]:
    return [Approval.board_id.in_(there), Approval.status == ApprovalStatus.PENDING]


def _finished(there: Select[UUID]) -> list[ColumnElement[bool]]:
    return [Task.board_id.in_(there), Task.status == Status.DONE]


def _ended(there: Select[UUID]) -> list[ColumnElement[bool]]:
    return [Event.board_id.in_(there), Event.type.in_([*ARRIVED, LOST])]


def _fates() -> list[ColumnElement[int]]:
    """Count the messages that failed, and all; one that is tried again counts once."""
    message = func.count(Event.data["message_id"].astext.distinct())
    return [message.filter(Event.type == LOST), message]


def _hours() -> ColumnElement[Any]:
    """Return how long a task took, from its first start until it was done."""
    return extract("epoch", Task.done_at - Task.started_at) / 3600


def _bucket(moment: Any, edges: Sequence[datetime]) -> ColumnElement[int]:
    return func.width_bucket(moment, literal(list(edges), ARRAY(DateTime(timezone=True))))


def _rows(query: Select[*tuple[Any, ...]]) -> ColumnElement[Any]:
    """Return all rows of a query as one value."""
    found: FromClause = query.subquery()
    rows = func.jsonb_agg(func.jsonb_build_array(*found.c))
    return select(func.coalesce(rows, func.jsonb_build_array())).scalar_subquery()
