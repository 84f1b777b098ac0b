"""The dashboard: throughput, cycle time, error rate and work in progress.

docs/metrics.md defines each number. One statement counts everything: each count is grouped by the
number of the bucket on a timeline. Completed messages and moves of tasks come from hourly roll-ups;
events are read only in hours that an edge of a window cuts: `edge_events`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    DateTime,
    Float,
    FromClause,
    Integer,
    Select,
    TextualSelect,
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
    text,
    type_coerce,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB

from core.db.reads import Query, Source
from core.errors import Forbidden, NotFound
from core.paging import Paging
from core.text import N_
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    BoardCounts,
    DoneTaskHour,
    Event,
    EventType,
    Member,
    Status,
    Task,
)
from services import board_pages, boards, counters

P = TypeVar("P")


class Bucket(StrEnum):
    """The length of a bucket. All begin in UTC; weeks begin on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class TimeRange:
    """How far back a dashboard goes, and the length of its buckets."""

    key: str
    duration: timedelta
    bucket: Bucket


RANGES: Mapping[str, TimeRange] = {
    range.key: range
    for range in (
        TimeRange("24h", timedelta(hours=24), Bucket.HOUR),
        TimeRange("3d", timedelta(days=3), Bucket.DAY),
        TimeRange("7d", timedelta(days=7), Bucket.DAY),
        TimeRange("14d", timedelta(days=14), Bucket.DAY),
        TimeRange("1m", timedelta(days=30), Bucket.DAY),
        TimeRange("3m", timedelta(days=90), Bucket.WEEK),
        TimeRange("6m", timedelta(days=180), Bucket.WEEK),
        TimeRange("1y", timedelta(days=365), Bucket.MONTH),
    )
}


BUCKET_LENGTHS = {
    Bucket.HOUR: timedelta(hours=1),
    Bucket.DAY: timedelta(days=1),
    Bucket.WEEK: timedelta(weeks=1),
}


@dataclass(frozen=True)
class ValuePoint:
    """A value, and when its bucket began."""

    period: datetime
    value: float


@dataclass(frozen=True)
class WipPoint:
    """The number of tasks by status at the end of a bucket or of the window."""

    period: datetime
    inbox: int
    in_progress: int
    review: int
    done: int


@dataclass(frozen=True)
class TimeSeries(Generic[P]):
    """Points in order of time."""

    range: str
    bucket: Bucket
    points: Sequence[P]


@dataclass(frozen=True)
class SeriesComparison(Generic[P]):
    """A series up to now, and the one of the time before."""

    primary: TimeSeries[P]
    comparison: TimeSeries[P]


@dataclass(frozen=True, kw_only=True)
class Kpis:
    """The current values."""

    active_agents: int
    tasks_in_progress: int
    inbox_tasks: int
    in_progress_tasks: int
    review_tasks: int
    done_tasks: int
    error_rate_pct: float
    median_cycle_time_hours_7d: float | None


@dataclass(frozen=True)
class WindowTotals:
    """The values of a whole window; None if nothing was counted."""

    done_tasks: int
    mean_cycle_hours: float | None
    error_rate_pct: float | None


@dataclass(frozen=True)
class Dashboard:
    """All values at one moment."""

    range: str
    generated_at: datetime
    kpis: Kpis
    throughput: SeriesComparison[ValuePoint]
    cycle_time: SeriesComparison[ValuePoint]
    error_rate: SeriesComparison[ValuePoint]
    wip: SeriesComparison[WipPoint]
    totals: WindowTotals
    totals_before: WindowTotals
    pending: int
    pending_newest: Sequence[Mapping[str, Any]]


TIMES = ARRAY(DateTime(timezone=True))
MOMENT = DateTime(timezone=True)
RESOLUTION = timedelta(microseconds=1)

START: Any = bindparam("start", type_=MOMENT)  # of the primary window
END: Any = bindparam("end", type_=MOMENT)
CUT_HOURS: Any = bindparam("cut_hours", type_=TIMES)
FIRST_AT: Any = bindparam("first_at", type_=MOMENT)  # the first edge
FIRST_HOUR: Any = bindparam("first_hour", type_=MOMENT)
CUT_SPANS: Any = [
    (bindparam(f"cut_began_{n}", type_=MOMENT), bindparam(f"cut_ended_{n}", type_=MOMENT))
    for n in (1, 2)
]  # the hours that the first edges of the windows cut; empty if they do not
NEXT_HOUR: Any = bindparam("next_hour", type_=MOMENT)  # after END_HOUR
END_AT: Any = bindparam("end_at", type_=MOMENT)
END_HOUR: Any = bindparam("end_hour", type_=MOMENT)
"""The parameters of the statement. `build_parameters` describes them."""


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


def build_parameters(time: Timeline) -> dict[str, Any]:
    """Return the parameters for a timeline.

    They include the `edges`, the hours that an edge cuts except the last (`cut_hours`), the numbers
    of the `first_primary` and the `last` bucket, the end of that (`end_at`, exclusive), and the
    hour of its last moment (`end_hour`).
    """
    edges = time.edges
    parameters = {
        "start": time.primary.start,
        "end": time.primary.end,
        "edges": edges,
        "first_at": edges[0],
        "first_hour": hour_of(edges[0]),
        "cut_hours": [hour_of(edge) for edge in edges[:-1] if edge != hour_of(edge)],
        "first_primary": len(time.comparison.bucket_starts) + 1,
        "last": len(edges) - 1,
        "end_at": edges[-1],
        "end_hour": hour_of(time.primary.end),
        "next_hour": hour_of(time.primary.end) + timedelta(hours=1),
    }
    for number, edge in enumerate((time.comparison.start, time.primary.start), start=1):
        began = hour_of(edge)
        parameters[f"cut_began_{number}"] = began
        parameters[f"cut_ended_{number}"] = began + timedelta(hours=edge != began)
    return parameters


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def bucket_number(moment: Any) -> ColumnElement[int]:
    return func.width_bucket(moment, bindparam("edges", type_=TIMES))


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
        **Paging(MAX_NEWEST_APPROVALS).parameters,  # of the newest approvals
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
    board = boards.MEMBER_BOARDS.where(Board.id == BOARD_ID).subquery()
    active_agents = (
        select(func.count())
        .select_from(Agent)
        .where(Agent.board_id.in_(scope), Agent.last_seen_at.between(START, END))
    )
    query = select(
        select(board.c.reads).scalar_subquery() if of_board else null(),
        _current_counts(scope),
        active_agents.scalar_subquery(),
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


def _current_counts(scope: Select[UUID]) -> ColumnElement[Any]:
    """Return the number of tasks by status, as an object."""
    pairs = [
        value
        for status, counter in counters.TASK_COUNTS.items()
        for value in (literal_column(f"'{status}'"), func.coalesce(func.sum(counter), 0))
    ]
    counts = select(func.jsonb_build_object(*pairs)).where(BoardCounts.board_id.in_(scope))
    return counts.scalar_subquery()


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
    rows: FromClause = counted.group_by(number).subquery()
    items = func.jsonb_agg(func.jsonb_build_array(*rows.c))
    return select(func.coalesce(items, func.jsonb_build_array())).scalar_subquery()


def _median_hours(scope: Select[UUID]) -> ColumnElement[Any]:
    """Return the median of a week. It is computed from the tasks: no roll-up contains it."""
    median = type_coerce(func.percentile_cont(0.5).within_group(_cycle_hours()), Float)
    since = Task.done_at > END - literal_column("interval '7 days'")
    query = select(median).where(*_done_conditions(scope), since, Task.done_at <= END)
    return query.where(Task.started_at.is_not(None)).scalar_subquery()


def _newest_pending_approvals(scope: Select[UUID]) -> ColumnElement[Any]:
    """Return the newest of the newest pending approvals of each board that has any."""
    has_pending = BoardCounts.pending_approvals > 0
    counted = BoardCounts.board_id.in_(scope)
    newest_ids = board_pages.newest_rows_query(
        select(BoardCounts.board_id.label("id")).where(counted, has_pending),
        select(Approval.id, Approval.created_at).where(Approval.status == ApprovalStatus.PENDING),
        Approval.board_id,
        Approval.created_at,
    )
    first = newest_ids().subquery("newest_ids")
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
        .join(first, first.c.id == Approval.id)
        .join(Board, Board.id == Approval.board_id)
        .outerjoin(Task, Task.id == Approval.task_id)
        .order_by(Approval.created_at.desc(), Approval.id.desc())
    )
    subquery = query.subquery("newest")
    items = func.jsonb_agg(func.to_jsonb(subquery.table_valued()))
    return select(func.coalesce(items, func.jsonb_build_array())).scalar_subquery()


def _done_conditions(scope: Select[UUID]) -> list[ColumnElement[bool]]:
    return [Task.board_id.in_(scope), Task.status == Status.DONE]


def _cycle_hours() -> ColumnElement[Any]:
    """Return the hours from the first start of a task until it was done."""
    return extract("epoch", Task.done_at - Task.started_at) / 3600


EDGES = "cast(:edges as timestamptz[])"
CUT = "cast(:cut_hours as timestamptz[])"
LAST = "cast(:last as integer)"
FAILED = f"'{EventType.MESSAGE_FAILED}'"

_ROLLED_HOURS = f"""
    board_id in (select id from scope) and hour >= cast(:first_hour as timestamptz)
        and hour <> all({CUT})
"""  # noqa: S608
_MOVES_BY_BUCKET = f"""
    select coalesce(
        jsonb_agg(jsonb_build_array(number, left_status, entered_status, count)), '[]'
    ) as counts
    from (
        select number, left_status, entered_status, cast(sum(count) as bigint) as count
        from (
            select width_bucket(hour, {EDGES}) as number, left_status, entered_status, count
            from task_move_hours where {_ROLLED_HOURS}
            union all
            select numbered.number, data ->> 'left', data ->> 'entered', numbered.count
            from edge_events, lateral (values
                (case weight when 1 then width_bucket(created_at, {EDGES}) else {LAST} end, weight),
                ({LAST} + 1, case weight when 1 then 0 else 1 end)
            ) numbered (number, count)
            where type in {counters.TASK_MOVES_SQL} and numbered.number > 0
        ) moves
        group by 1, 2, 3 having sum(count) <> 0
    ) counted
"""  # noqa: S608

_NEIGHBOUR = f"""
    select created_at
    from (
        select * from activity_events
        where data ->> 'message_id' = edge.data ->> 'message_id' offset 0  -- by its index alone
    ) other
    where other.board_id = edge.board_id and other.type in {counters.MESSAGE_ENDS_SQL}
        and (not only_failed or other.type = {FAILED})
        and (other.created_at, other.seq) {{comparison}} (edge.created_at, edge.seq)
    order by other.created_at {{order}}, other.seq {{order}} limit 1
"""  # noqa: S608
_STEPS = f"""
    select width_bucket(hour, {EDGES}) as number, width_bucket(previous_hour, {EDGES}) as previous,
        only_failed, count
    from message_hours
    where {_ROLLED_HOURS} and (previous_hour is null or previous_hour <> all({CUT}))
    union all
    select steps.number, steps.previous, only_failed, steps.count
    from edge_events edge
    cross join (values (false), (true)) kinds (only_failed)
    left join lateral ({_NEIGHBOUR.format(comparison="<", order="desc")}) previous on true
    left join lateral ({_NEIGHBOUR.format(comparison=">", order="asc")}) next on weight = 1
    cross join lateral (values
        (
            case weight when 1 then width_bucket(edge.created_at, {EDGES}) else {LAST} end,
            case when weight = -1 and previous.created_at >= cast(:end_hour as timestamptz)
                then {LAST} else width_bucket(previous.created_at, {EDGES}) end,
            weight
        ),
        (
            width_bucket(date_trunc('hour', next.created_at, 'UTC'), {EDGES}),
            width_bucket(edge.created_at, {EDGES}),
            case when next.created_at >= span_ended
                and date_trunc('hour', next.created_at, 'UTC') <> all({CUT}) then 1 else 0 end
        )
    ) steps (number, previous, count)
    where edge.type in {counters.MESSAGE_ENDS_SQL} and edge.data ->> 'message_id' is not null
        and (not only_failed or edge.type = {FAILED})
"""  # noqa: S608
"""Every event with the bucket of the one before it. The second part replaces the roll-ups of cut
hours: each event there, and the next of its message if that is in a roll-up; and it subtracts the
events after the end, which the roll-up of the last hour contains."""

_MESSAGES_BY_BUCKET = f"""
    select coalesce(jsonb_agg(jsonb_build_array(number, failed, completed)), '[]') as counts
    from (
        select numbered.number,
            cast(coalesce(sum(count) filter (where only_failed), 0) as bigint) as failed,
            cast(coalesce(sum(count) filter (where not only_failed), 0) as bigint) as completed
        from ({_STEPS}) steps
        cross join lateral (values
            (number, previous is distinct from number),
            (0, number >= cast(:first_primary as integer)
                and coalesce(previous, 0) < cast(:first_primary as integer)),
            (-1, number < cast(:first_primary as integer) and coalesce(previous, 0) < 1)
        ) numbered (number, is_counted)
        where steps.number between 1 and {LAST} and is_counted
        group by 1
    ) counted
    where completed <> 0
"""  # noqa: S608


def count_messages_query() -> TextualSelect:
    """Select rows of a bucket's number, its failed and all its messages, as one JSON value.

    A message counts once in a bucket, however often it was completed there: by the event whose
    predecessor is in an earlier bucket. Number 0 is the whole primary window, -1 the comparison.
    """
    integer = bindparam("first_primary", type_=Integer)
    end_hour = bindparam("end_hour", type_=MOMENT)
    return _with_parameters(_MESSAGES_BY_BUCKET).bindparams(integer, end_hour).columns(counts=JSONB)


def count_moves_query() -> TextualSelect:
    """Select rows of a bucket's number, two statuses, and the number of moves, as one JSON value.

    Moves after the end are in one more bucket.
    """
    return _with_parameters(_MOVES_BY_BUCKET).columns(counts=JSONB)


def _with_parameters(sql: str) -> Any:
    return text(sql).bindparams(
        bindparam("edges", type_=TIMES),
        bindparam("cut_hours", type_=TIMES),
        bindparam("first_hour", type_=MOMENT),
        bindparam("last", type_=Integer),
    )


def select_edge_events(scope: Select[Any]) -> CTE:
    """Select the events in the hours that an edge cuts, on the boards of a scope.

    In the last hour they are those after the end, with the weight -1.
    """
    parts = [
        select(
            Event.board_id,
            Event.type,
            Event.data,
            Event.created_at,
            Event.seq,
            literal(weight).label("weight"),
            ended.label("span_ended"),
        ).where(
            Event.board_id.in_(scope),
            Event.type.in_([*counters.TASK_MOVES, *counters.MESSAGE_ENDS]),
            Event.created_at >= began,
            Event.created_at < ended,
        )
        for began, ended, weight in [*((*span, 1) for span in CUT_SPANS), (END_AT, NEXT_HOUR, -1)]
    ]
    return union_all(*parts).cte("edge_events")


async def load_dashboard(
    source: Source,
    member: Member,
    range_key: str,
    at: datetime,
    *,
    board_id: UUID | None = None,
    group_id: UUID | None = None,
) -> Dashboard:
    """Return the dashboard of the boards that a member may read, at a moment.

    With a board and a group, the board counts only if it is in the group. An unknown group has no
    values. Raises NotFound for a board of another organization, and Forbidden for one that the
    member may not read. It executes one statement.
    """
    range = RANGES[range_key]
    time = build_timeline(range, at)
    counts = await load_counts(source, member, time, board_id=board_id, group_id=group_id)
    if board_id is not None and counts.reads is None:
        raise NotFound("board_not_found", N_("There is no such board."))
    if board_id is not None and not counts.reads:
        raise Forbidden("board_read_forbidden", N_("You may not read this board."))
    return _build_dashboard(range, time, counts)


def _build_dashboard(range: TimeRange, time: Timeline, counts: MetricCounts) -> Dashboard:
    tasks = {number: count for number, count, *_ in counts.done}
    hours = {number: mean for number, _, mean, _ in counts.done if mean is not None}
    older, last = len(time.comparison.bucket_starts), len(_bucket_starts(time))
    failed = {number: _percent(failures, total) for number, failures, total in counts.messages}
    return Dashboard(
        range=range.key,
        generated_at=time.primary.end,
        kpis=_build_kpis(counts),
        throughput=_compare(range, time, _build_points(time, tasks)),
        cycle_time=_compare(range, time, _build_points(time, hours)),
        error_rate=_compare(range, time, _build_points(time, failed)),
        wip=_compare(range, time, _build_wip_points(time, counts)),
        totals=_sum_window(
            [row for row in counts.done if older < row[0] <= last], counts.messages_now
        ),
        totals_before=_sum_window(
            [row for row in counts.done if 0 < row[0] <= older], counts.messages_before
        ),
        pending=counts.pending,
        pending_newest=counts.pending_newest,
    )


def _sum_window(
    done: Sequence[tuple[int, int, float | None, int]], messages: tuple[int, int]
) -> WindowTotals:
    hours = [(mean, timed) for _, _, mean, timed in done if mean is not None]
    timed_tasks = sum(timed for _, timed in hours)
    return WindowTotals(
        done_tasks=sum(tasks for _, tasks, *_ in done),
        mean_cycle_hours=sum(mean * timed for mean, timed in hours) / timed_tasks
        if timed_tasks
        else None,
        error_rate_pct=_percent(*messages) if messages[1] else None,
    )


def _build_kpis(counts: MetricCounts) -> Kpis:
    counts_by_status = {status: counts.statuses.get(status, 0) for status in Status}
    median = counts.median_hours
    return Kpis(
        active_agents=counts.active_agents,
        tasks_in_progress=counts_by_status[Status.IN_PROGRESS],
        inbox_tasks=counts_by_status[Status.INBOX],
        in_progress_tasks=counts_by_status[Status.IN_PROGRESS],
        review_tasks=counts_by_status[Status.REVIEW],
        done_tasks=counts_by_status[Status.DONE],
        error_rate_pct=_percent(*counts.messages_now),
        median_cycle_time_hours_7d=None if median is None else round(median, 10),
    )


def _compare(range: TimeRange, time: Timeline, points: Sequence[P]) -> SeriesComparison[P]:
    older = len(time.comparison.bucket_starts)
    return SeriesComparison(
        TimeSeries(range.key, range.bucket, points[older:]),
        TimeSeries(range.key, range.bucket, points[:older]),
    )


def _bucket_starts(time: Timeline) -> list[datetime]:
    return [*time.comparison.bucket_starts, *time.primary.bucket_starts]


def _build_points(time: Timeline, values: Mapping[int, float]) -> list[ValuePoint]:
    """Return a point for every bucket; 0 where nothing was counted."""
    numbered = enumerate(_bucket_starts(time), start=1)
    return [ValuePoint(period, float(values.get(number, 0))) for number, period in numbered]


def _build_wip_points(time: Timeline, counts: MetricCounts) -> list[WipPoint]:
    """Compute the past numbers of tasks by reverting their moves, bucket by bucket, from now on."""
    counts_by_status = {status: counts.statuses.get(status, 0) for status in Status}
    points = []
    numbered = list(enumerate(_bucket_starts(time), start=1))
    _revert_moves(counts_by_status, counts, len(numbered) + 1)
    for number, period in reversed(numbered):
        points.append(WipPoint(period, *counts_by_status.values()))
        _revert_moves(counts_by_status, counts, number)
    return points[::-1]


def _revert_moves(counts_by_status: dict[Status, int], counts: MetricCounts, number: int) -> None:
    for bucket, left, entered, tasks in counts.moves:
        if bucket == number and left is not None:
            counts_by_status[Status(left)] += tasks
        if bucket == number and entered is not None:
            counts_by_status[Status(entered)] -= tasks


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def build_timeline(range: TimeRange, at: datetime) -> Timeline:
    """Return the timeline up to a moment."""
    start = at - range.duration
    return Timeline(
        primary=_build_window(range.bucket, start, at),
        comparison=_build_window(range.bucket, start - range.duration, start),
    )


def _build_window(bucket: Bucket, start: datetime, end: datetime) -> TimeWindow:
    periods = [_bucket_start(bucket, start)]
    while (following := _next_bucket_start(bucket, periods[-1])) <= end:
        periods.append(following)
    return TimeWindow(start, end, periods)


def _bucket_start(bucket: Bucket, moment: datetime) -> datetime:
    """Return when the bucket of a moment began."""
    hour = hour_of(moment)
    if bucket is Bucket.HOUR:
        return hour
    day = hour.replace(hour=0)
    if bucket is Bucket.DAY:
        return day
    return day - timedelta(days=day.weekday()) if bucket is Bucket.WEEK else day.replace(day=1)


def _next_bucket_start(bucket: Bucket, period: datetime) -> datetime:
    if bucket is Bucket.MONTH:
        return (period + timedelta(days=31)).replace(day=1)
    return period + BUCKET_LENGTHS[bucket]
