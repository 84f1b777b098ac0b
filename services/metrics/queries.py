"""The statement that counts everything the dashboard shows.

Each count is grouped by the number of the bucket on a timeline.
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

from models import Agent, Approval, ApprovalStatus, Board, Event, EventType, Member, Status, Task
from services import boards

WEEK = timedelta(days=7)
MAX_NEWEST_APPROVALS = 10  # approvals that are listed

TASK_MOVES = (
    EventType.TASK_CREATED,
    EventType.TASK_STATUS_CHANGED,
    EventType.TASK_DELETED,
    EventType.TASK_RESTORED,
)
"""The events that change a task's status; `left` and `entered` in their data name the statuses."""

MESSAGE_SUCCEEDED = (EventType.MESSAGE_SENT, EventType.MESSAGE_ACKNOWLEDGED)
MESSAGE_FAILED = EventType.MESSAGE_FAILED


RESOLUTION = timedelta(microseconds=1)


@dataclass(frozen=True)
class TimeWindow:
    """A period of time, cut into buckets; the first bucket begins at or before the start."""

    start: datetime
    end: datetime
    bucket_starts: Sequence[datetime]  # when each of its buckets begins

    @property
    def clipped_starts(self) -> list[datetime]:
        """When each bucket begins within the window."""
        return [self.start, *self.bucket_starts[1:]]


@dataclass(frozen=True)
class Timeline:
    """The window up to now, and the one before it for comparison; they do not overlap."""

    primary: TimeWindow
    comparison: TimeWindow

    @property
    def edges(self) -> list[datetime]:
        """When each bucket of both windows begins, the older first, and when the last one ends."""
        return [
            *self.comparison.clipped_starts,
            *self.primary.clipped_starts,
            self.primary.end + RESOLUTION,
        ]


@dataclass(frozen=True)
class MetricCounts:
    """The counted values. Rows begin with the number of a bucket; 1 is the first."""

    reads: bool | None  # whether the member may read the given board; None: no such board
    statuses: dict[str, int]  # the current number of tasks by status
    active_agents: int
    done: Sequence[tuple[int, int, float | None]]  # the number of tasks, and their mean hours
    median_hours: float | None
    messages: Sequence[tuple[int, int, int]]  # failed ones, and all completed ones
    messages_now: tuple[int, int]  # the same for the whole primary window
    moves: Sequence[tuple[int, str | None, str | None, int]]  # from, to, and the number of tasks
    pending: int
    pending_newest: Sequence[dict[str, Any]]


async def load_counts(
    session: AsyncSession,
    member: Member,
    time: Timeline,
    *,
    board_id: UUID | None,
    group_id: UUID | None,
) -> MetricCounts:
    """Count on the boards that a member may read; on one of them, or on those of a group."""
    scope = _scope_query(member, board_id, group_id)
    start, end = time.primary.start, time.primary.end
    query = select(
        _can_read_board(member, board_id),
        _count_by_status(scope),
        _count_active_agents(scope, start, end),
        _count_done_tasks(scope, time.edges),
        _median_hours(scope, end),
        _count_messages_by_bucket(scope, time.edges),
        _count_messages_between(scope, start, end),
        _count_task_moves(scope, time.edges),
        _count_pending_approvals(scope),
        _newest_pending_approvals(scope),
    )
    return MetricCounts(*(await session.execute(query)).one())


def _scope_query(member: Member, board_id: UUID | None, group_id: UUID | None) -> Select[UUID]:
    query = select(Board.id).where(
        Board.id.in_(boards.readable_board_ids_query(member.user, member.organization_id))
    )
    if board_id is not None:
        query = query.where(Board.id == board_id)
    if group_id is not None:
        query = query.where(Board.board_group_id == group_id)
    return select(query.cte("scope").c.id)


def _can_read_board(member: Member, board_id: UUID | None) -> ColumnElement[Any]:
    if board_id is None:
        return null()
    visible = boards.visible_boards_query(member.user).where(
        Board.id == board_id, Board.organization_id == member.organization_id
    )
    return select(visible.subquery().c.reads).scalar_subquery()


def _count_by_status(scope: Select[UUID]) -> ColumnElement[Any]:
    counted = select(Task.status, func.count().label("tasks")).where(Task.board_id.in_(scope))
    subquery = counted.group_by(Task.status).subquery()
    counts = func.jsonb_object_agg(subquery.c.status, subquery.c.tasks)
    return select(func.coalesce(counts, func.jsonb_build_object())).scalar_subquery()


def _count_active_agents(scope: Select[UUID], start: datetime, end: datetime) -> ColumnElement[int]:
    query = select(func.count()).select_from(Agent)
    is_active = Agent.last_seen_at.between(start, end)
    return query.where(Agent.board_id.in_(scope), is_active).scalar_subquery()


def _count_done_tasks(scope: Select[UUID], edges: Sequence[datetime]) -> ColumnElement[Any]:
    """Count the done tasks by bucket, with their mean hours from start to end."""
    number = _bucket_number(Task.done_at, edges)
    query = select(number, func.count(), func.avg(_cycle_hours())).where(
        *_done_conditions(scope), Task.done_at >= edges[0]
    )
    return _as_json_rows(query.group_by(number))


def _median_hours(scope: Select[UUID], end: datetime) -> ColumnElement[Any]:
    median = func.percentile_cont(0.5).within_group(_cycle_hours())
    since = Task.done_at > end - WEEK
    query = select(median).where(*_done_conditions(scope), since, Task.done_at <= end)
    return query.where(Task.started_at.is_not(None)).scalar_subquery()


def _count_messages_by_bucket(scope: Select[UUID], edges: Sequence[datetime]) -> ColumnElement[Any]:
    number = _bucket_number(Event.created_at, edges)
    query = select(number, *_message_counts()).where(
        *_ended_message_conditions(scope), Event.created_at >= edges[0]
    )
    return _as_json_rows(query.group_by(number))


def _count_messages_between(
    scope: Select[UUID], start: datetime, end: datetime
) -> ColumnElement[Any]:
    query = select(func.jsonb_build_array(*_message_counts())).where(
        *_ended_message_conditions(scope)
    )
    return query.where(Event.created_at.between(start, end)).scalar_subquery()


def _count_task_moves(scope: Select[UUID], edges: Sequence[datetime]) -> ColumnElement[Any]:
    number = _bucket_number(Event.created_at, edges)
    left, entered = Event.data["left"].astext, Event.data["entered"].astext
    query = select(number, left, entered, func.count()).where(
        Event.board_id.in_(scope), Event.type.in_(TASK_MOVES), Event.created_at >= edges[0]
    )
    return _as_json_rows(query.group_by(number, left, entered))


def _count_pending_approvals(scope: Select[UUID]) -> ColumnElement[int]:
    return (
        select(func.count())
        .select_from(Approval)
        .where(*_pending_conditions(scope))
        .scalar_subquery()
    )


def _newest_pending_approvals(scope: Select[UUID]) -> ColumnElement[Any]:
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
        .where(*_pending_conditions(scope))
        .order_by(Approval.created_at.desc(), Approval.id.desc())
        .limit(MAX_NEWEST_APPROVALS)
    )
    subquery = query.subquery("newest")
    items = func.jsonb_agg(func.to_jsonb(subquery.table_valued()))
    return select(func.coalesce(items, func.jsonb_build_array())).scalar_subquery()


def _pending_conditions(scope: Select[UUID]) -> list[ColumnElement[bool]]:
    return [Approval.board_id.in_(scope), Approval.status == ApprovalStatus.PENDING]


def _done_conditions(scope: Select[UUID]) -> list[ColumnElement[bool]]:
    return [Task.board_id.in_(scope), Task.status == Status.DONE]


def _ended_message_conditions(scope: Select[UUID]) -> list[ColumnElement[bool]]:
    return [Event.board_id.in_(scope), Event.type.in_([*MESSAGE_SUCCEEDED, MESSAGE_FAILED])]


def _message_counts() -> list[ColumnElement[int]]:
    """Count the failed messages and all messages; a retried message counts once."""
    message = func.count(Event.data["message_id"].astext.distinct())
    return [message.filter(Event.type == MESSAGE_FAILED), message]


def _cycle_hours() -> ColumnElement[Any]:
    """Return the hours from the first start of a task until it was done."""
    return extract("epoch", Task.done_at - Task.started_at) / 3600


def _bucket_number(moment: Any, edges: Sequence[datetime]) -> ColumnElement[int]:
    return func.width_bucket(moment, literal(list(edges), ARRAY(DateTime(timezone=True))))


def _as_json_rows(query: Select[*tuple[Any, ...]]) -> ColumnElement[Any]:
    """Return all rows of a query as one value."""
    subquery: FromClause = query.subquery()
    rows = func.jsonb_agg(func.jsonb_build_array(*subquery.c))
    return select(func.coalesce(rows, func.jsonb_build_array())).scalar_subquery()
