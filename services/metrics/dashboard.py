"""The dashboard: how much gets done, how long it takes, what fails, and what is under way.

What each number means is in docs/metrics.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Forbidden, NotFound
from models import Member, Status
from services.metrics.counting import Counts, count
from services.metrics.periods import RANGES, Bucket, Range, Timeline, timeline

P = TypeVar("P")


@dataclass(frozen=True)
class Point:
    """A number, and when its bucket began."""

    period: datetime
    value: float


@dataclass(frozen=True)
class WipPoint:
    """How many tasks stood where when a bucket was over, or when the window was."""

    period: datetime
    inbox: int
    in_progress: int
    review: int
    done: int


@dataclass(frozen=True)
class Series(Generic[P]):
    """Points in order of time."""

    range: str
    bucket: Bucket
    points: Sequence[P]


@dataclass(frozen=True)
class Compared(Generic[P]):
    """A series up to now, and the same of the time before."""

    primary: Series[P]
    comparison: Series[P]


@dataclass(frozen=True, kw_only=True)
class Kpis:
    """How things stand now."""

    active_agents: int
    tasks_in_progress: int
    inbox_tasks: int
    in_progress_tasks: int
    review_tasks: int
    done_tasks: int
    error_rate_pct: float
    median_cycle_time_hours_7d: float | None


@dataclass(frozen=True)
class Dashboard:
    """All of it, as it stands at one moment."""

    range: str
    generated_at: datetime
    kpis: Kpis
    throughput: Compared[Point]
    cycle_time: Compared[Point]
    error_rate: Compared[Point]
    wip: Compared[WipPoint]
    pending: int
    pending_newest: Sequence[Mapping[str, Any]]


async def dashboard(
    session: AsyncSession,
    member: Member,
    range_key: str,
    at: datetime,
    *,
    board_id: UUID | None = None,
    group_id: UUID | None = None,
) -> Dashboard:
    """Return the dashboard of the boards that a member reads, as it stands at a moment.

    Of a board and a group, it is that board if it is in the group. A group that is not there has
    nothing to show. Raises NotFound for a board of another organization, and Forbidden for one
    that the member does not read. It is one statement, however much there is.
    """
    range = RANGES[range_key]
    time = timeline(range, at)
    counts = await count(session, member, time, board_id=board_id, group_id=group_id)
    if board_id is not None:
        _check_reads(counts.reads)
    return _shown(range, time, counts)


def _shown(range: Range, time: Timeline, counts: Counts) -> Dashboard:
    tasks = {number: count for number, count, _ in counts.done}
    hours = {number: mean for number, _, mean in counts.done if mean is not None}
    failed = {number: _percent(lost, all) for number, lost, all in counts.messages}
    return Dashboard(
        range=range.key,
        generated_at=time.primary.end,
        kpis=_kpis(counts),
        throughput=_compared(range, time, _points(time, tasks)),
        cycle_time=_compared(range, time, _points(time, hours)),
        error_rate=_compared(range, time, _points(time, failed)),
        wip=_compared(range, time, _under_way(time, counts)),
        pending=counts.pending,
        pending_newest=counts.pending_newest,
    )


def _check_reads(reads: bool | None) -> None:
    if reads is None:
        raise NotFound("board_not_found", "There is no such board.")
    if not reads:
        raise Forbidden("board_read_forbidden", "You may not read this board.")


def _kpis(counts: Counts) -> Kpis:
    stand = {status: counts.statuses.get(status, 0) for status in Status}
    return Kpis(
        active_agents=counts.active_agents,
        tasks_in_progress=stand[Status.IN_PROGRESS],
        inbox_tasks=stand[Status.INBOX],
        in_progress_tasks=stand[Status.IN_PROGRESS],
        review_tasks=stand[Status.REVIEW],
        done_tasks=stand[Status.DONE],
        error_rate_pct=_percent(*counts.messages_now),
        median_cycle_time_hours_7d=counts.median_hours,
    )


def _compared(range: Range, time: Timeline, points: Sequence[P]) -> Compared[P]:
    older = len(time.comparison.periods)
    return Compared(
        Series(range.key, range.bucket, points[older:]),
        Series(range.key, range.bucket, points[:older]),
    )


def _periods(time: Timeline) -> list[datetime]:
    return [*time.comparison.periods, *time.primary.periods]


def _points(time: Timeline, values: Mapping[int, float]) -> list[Point]:
    """Make a point of every bucket; where nothing was counted, it is 0."""
    numbered = enumerate(_periods(time), start=1)
    return [Point(period, float(values.get(number, 0))) for number, period in numbered]


def _under_way(time: Timeline, counts: Counts) -> list[WipPoint]:
    """Go back from where the tasks stand now, and take back their moves, bucket by bucket."""
    stand = {status: counts.statuses.get(status, 0) for status in Status}
    points = []
    numbered = list(enumerate(_periods(time), start=1))
    _take_back(stand, counts, len(numbered) + 1)
    for number, period in reversed(numbered):
        points.append(WipPoint(period, *stand.values()))
        _take_back(stand, counts, number)
    return points[::-1]


def _take_back(stand: dict[Status, int], counts: Counts, number: int) -> None:
    for bucket, left, entered, tasks in counts.moves:
        if bucket == number and left is not None:
            stand[Status(left)] += tasks
        if bucket == number and entered is not None:
            stand[Status(entered)] -= tasks


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
