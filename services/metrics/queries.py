"""The statement that counts everything the dashboard shows.

Each count is grouped by the number of the bucket on a timeline.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Float,
    FromClause,
    Integer,
    Select,
    Uuid,
    all_,
    bindparam,
    cast,
    extract,
    func,
    literal,
    literal_column,
    null,
    select,
    true,
    type_coerce,
    union_all,
)

from core.db.reads import Query, Source
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    BoardCounts,
    DoneTaskHour,
    Member,
    Status,
    Task,
)
from services import boards, counters
from services.metrics.event_counts import (
    count_messages_query,
    count_moves_query,
    select_edge_events,
)
from services.metrics.windows import (
    CUT_HOURS,
    CUT_SPANS,
    END,
    END_HOUR,
    FIRST_AT,
    FIRST_HOUR,
    NEXT_HOUR,
    START,
    Timeline,
    bucket_number,
    build_parameters,
)

BOARD_ID: ColumnElement[UUID] = bindparam("board_id", type_=Uuid)
MAX_NEWEST_APPROVALS = 10  # approvals that are listed


@dataclass(frozen=True)
class MetricCounts:
    """The counted values. Rows begin with the number of a bucket; 1 is the first."""

    reads: bool | None  # whether the member may read the given board; None: no such board
    statuses: dict[str, int]  # the current number of tasks by status
    active_agents: int
    # the number of tasks, their mean hours, and the number of those that have hours
    done: Sequence[tuple[int, int, float | None, int]]
    median_hours: float | None
    messages: Sequence[tuple[int, int, int]]  # failed ones, and all completed ones
    messages_now: tuple[int, int]  # the same for the whole primary window
    messages_before: tuple[int, int]  # and for the window before it
    moves: Sequence[tuple[int, str | None, str | None, int]]  # from, to, and the number of tasks
    pending: int
    pending_newest: Sequence[dict[str, Any]]


async def load_counts(
    source: Source,
    member: Member,
    time: Timeline,
    *,
    board_id: UUID | None,
    group_id: UUID | None,
) -> MetricCounts:
    """Count on the boards that a member may read; on one of them, or on those of a group."""
    query = _build_query(of_board=board_id is not None, of_group=group_id is not None)
    parameters = {
        "user_id": member.user_id,
        "organization_id": member.organization_id,
        "board_id": board_id,
        "group_id": group_id,
        **build_parameters(time),
    }
    [row] = await query.fetch(source, **parameters)
    *counts, messages, moves, pending, newest = row
    by_bucket = {number: (failed, completed) for number, failed, completed in messages}
    messages_now, messages_before = by_bucket.pop(0, (0, 0)), by_bucket.pop(-1, (0, 0))
    rows = [(number, *both) for number, both in by_bucket.items()]
    whole = (messages_now, messages_before)
    return MetricCounts(*counts, rows, *whole, moves, pending, newest)


@cache
def _build_query(*, of_board: bool, of_group: bool) -> Query[Sequence[Any]]:
    scope = _scope_query(of_board=of_board, of_group=of_group)
    query = select(
        _can_read_board() if of_board else null(),
        _current_counts(scope),
        _count_active_agents(scope),
        _count_done_tasks(scope),
        _median_hours(scope),
        count_messages_query().scalar_subquery(),
        count_moves_query().scalar_subquery(),
        counters.sum_counts([BoardCounts.pending_approvals], scope),
        _newest_pending_approvals(scope),
    )
    return Query(query.add_cte(select_edge_events(scope)), is_planned_once=True)


def _scope_query(*, of_board: bool, of_group: bool) -> Select[UUID]:
    query = select(Board.id).where(Board.id.in_(boards.READABLE_BOARD_IDS))
    if of_board:
        query = query.where(Board.id == BOARD_ID)
    if of_group:
        query = query.where(Board.board_group_id == bindparam("group_id"))
    return select(query.cte("scope").c.id)


def _can_read_board() -> ColumnElement[Any]:
    board = boards.MEMBER_BOARDS.where(Board.id == BOARD_ID).subquery()
    return select(board.c.reads).scalar_subquery()


def _current_counts(scope: Select[UUID]) -> ColumnElement[Any]:
    """Return the number of tasks by status, as an object."""
    pairs = [
        value
        for status, counter in counters.TASK_COUNTS.items()
        for value in (literal_column(f"'{status}'"), func.coalesce(func.sum(counter), 0))
    ]
    counts = select(func.jsonb_build_object(*pairs)).where(BoardCounts.board_id.in_(scope))
    return counts.scalar_subquery()


def _count_active_agents(scope: Select[UUID]) -> ColumnElement[int]:
    query = select(func.count()).select_from(Agent)
    is_active = Agent.last_seen_at.between(START, END)
    return query.where(Agent.board_id.in_(scope), is_active).scalar_subquery()


def _count_done_tasks(scope: Select[UUID]) -> ColumnElement[Any]:
    """Count the done tasks by bucket, with their mean hours from start to end.

    Tasks are read in the hours that an edge cuts, and the others come from the roll-ups.
    """
    rolled, hours = DoneTaskHour, _cycle_hours()
    has_hours = cast(rolled.scale.is_not(None), Integer)
    from_hours = select(
        bucket_number(rolled.hour), rolled.tasks, rolled.tasks * has_hours, rolled.cycle_hours
    ).where(
        rolled.board_id.in_(scope),
        rolled.hour >= FIRST_HOUR,
        rolled.hour != all_(CUT_HOURS),
        rolled.hour != END_HOUR,
        rolled.tasks != 0,
    )
    from_rows = [
        select(
            bucket_number(Task.done_at), literal(1), cast(hours.is_not(None), Integer), hours
        ).where(
            *_done_conditions(scope),
            Task.done_at >= func.greatest(began, FIRST_AT),
            Task.done_at < ended,
        )
        for began, ended in [*CUT_SPANS, (END_HOUR, NEXT_HOUR)]
    ]
    parts = union_all(from_hours, *from_rows).subquery()
    number, tasks, timed_tasks, cycle_hours = parts.c
    mean = func.sum(cycle_hours) / func.nullif(func.sum(timed_tasks), 0)
    counted = select(number, func.sum(tasks), mean, func.sum(timed_tasks))
    return _as_json_rows(counted.group_by(number))


def _median_hours(scope: Select[UUID]) -> ColumnElement[Any]:
    """Return the median of a week. It is computed from the tasks: no roll-up contains it."""
    median = type_coerce(func.percentile_cont(0.5).within_group(_cycle_hours()), Float)
    since = Task.done_at > END - literal_column("interval '7 days'")
    query = select(median).where(*_done_conditions(scope), since, Task.done_at <= END)
    return query.where(Task.started_at.is_not(None)).scalar_subquery()


def _newest_pending_approvals(scope: Select[UUID]) -> ColumnElement[Any]:
    """Return the newest of the newest pending approvals of each board."""
    board = scope.subquery("pending_board")
    newest_first = (Approval.created_at.desc(), Approval.id.desc())
    of_board = select(Approval.id).where(
        Approval.board_id == board.c.id, Approval.status == ApprovalStatus.PENDING
    )
    newest_ids = (
        of_board.order_by(*newest_first).limit(MAX_NEWEST_APPROVALS).correlate(board).lateral()
    )
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
        .select_from(board.join(newest_ids, true()))
        .join(Approval, Approval.id == newest_ids.c.id)
        .join(Board, Board.id == Approval.board_id)
        .outerjoin(Task, Task.id == Approval.task_id)
        .order_by(*newest_first)
        .limit(MAX_NEWEST_APPROVALS)
    )
    subquery = query.subquery("newest")
    items = func.jsonb_agg(func.to_jsonb(subquery.table_valued()))
    return select(func.coalesce(items, func.jsonb_build_array())).scalar_subquery()


def _done_conditions(scope: Select[UUID]) -> list[ColumnElement[bool]]:
    return [Task.board_id.in_(scope), Task.status == Status.DONE]


def _cycle_hours() -> ColumnElement[Any]:
    """Return the hours from the first start of a task until it was done."""
    return extract("epoch", Task.done_at - Task.started_at) / 3600


def _as_json_rows(query: Select[*tuple[Any, ...]]) -> ColumnElement[Any]:
    """Return all rows of a query as one value."""
    subquery: FromClause = query.subquery()
    rows = func.jsonb_agg(func.jsonb_build_array(*subquery.c))
    return select(func.coalesce(rows, func.jsonb_build_array())).scalar_subquery()
