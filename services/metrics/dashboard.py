"""The dashboard: throughput, cycle time, error rate and work in progress.

docs/metrics.md defines each number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar
from uuid import UUID

from core.db.reads import Source
from core.errors import Forbidden, NotFound
from core.text import N_
from models import Member, Status
from services.metrics.queries import MetricCounts, Timeline, TimeWindow, load_counts

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
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
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
