"""The charts and key metrics of the dashboard, prepared for their templates.

Geometry comes first: pure functions from values to coordinates of SVG.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.clock import now
from services.metrics import RANGES, Bucket, Dashboard, SeriesComparison, ValuePoint, WipPoint
from web.ui.locale_format import format_date, format_number
from web.ui.time_format import reader_zone
from web.ui.translation import _

SPARK_WIDTH, SPARK_HEIGHT, SPARK_MARGIN = 96, 36, 4
MAX_AXIS_LABELS = 8
MAX_VALUE_LABELS = 15  # bars; with more of them the values are only in the table
AXIS_STEPS = (2, 4, 6, 8, 10, 12, 16)  # tops of an axis whose half is a whole number
BAR_SHARE, BEFORE_SHARE, GAP_SHARE = 0.46, 0.16, 0.04  # of the width of a bucket

MIN_REVIEW_BACKLOG = 5  # tasks; fewer are normal, also while no other task is in progress
MINUS = "\N{MINUS SIGN}"
MAX_WEEKDAYS = 8  # days of a range that are named by their weekday

FULL_SKELETONS = {
    Bucket.DAY: "yMMMd",
    Bucket.WEEK: "yMMMd",
    Bucket.MONTH: "yMMM",
}


@dataclass(frozen=True)
class Bar:
    """A bar of a chart; all lengths are percentages of the chart."""

    x: float
    y: float
    width: float
    height: float
    value: float
    is_open: bool = False  # its period is not over

    @property
    def middle(self) -> float:
        """Return where the bar has its middle."""
        return round(self.x + self.width / 2, 2)


@dataclass(frozen=True)
class SparkLine:
    """The paths of a small line and of the area below it."""

    line: str
    area: str


def choose_axis_top(values: Sequence[float]) -> int:
    """Return the upper end of an axis from 0: at least 2, and its half is a whole number."""
    highest = max(values, default=0)
    scale = 1
    while highest > AXIS_STEPS[-1] * scale:
        scale *= 10
    return next(step * scale for step in AXIS_STEPS if highest <= step * scale)


def build_bars(values: Sequence[float], top: float, *, before: bool = False) -> list[Bar]:
    """Return a bar for each value above 0; those of the period before stand beside the others."""
    slot = 100 / max(1, len(values))
    inner = BAR_SHARE + GAP_SHARE + BEFORE_SHARE
    offset = (1 - inner) / 2 + (BAR_SHARE + GAP_SHARE if before else 0)
    width = slot * (BEFORE_SHARE if before else BAR_SHARE)
    return [
        Bar(
            x=round(slot * (number + offset), 2),
            y=round(100 - 100 * value / top, 2),
            width=round(width, 2),
            height=round(100 * value / top, 2),
            value=value,
            is_open=number == len(values) - 1,
        )
        for number, value in enumerate(values)
        if value > 0
    ]


def build_bands(series: Sequence[Sequence[float]], top: float) -> list[str]:
    """Return the points of a polygon for each series, one stacked on the other, in 100 by 100."""
    lower = [0.0] * len(series[0]) if series else []
    bands = []
    for values in series:
        upper = [below + value for below, value in zip(lower, values, strict=True)]
        outline = _place(upper, top) + _place(lower, top)[::-1]
        bands.append(" ".join(f"{x:g},{y:g}" for x, y in outline))
        lower = upper
    return bands


def _place(values: Sequence[float], top: float) -> list[tuple[float, float]]:
    last = max(1, len(values) - 1)
    return [
        (round(100 * number / last, 2), round(100 - 100 * value / top, 2))
        for number, value in enumerate(values)
    ]


def build_spark_line(values: Sequence[float]) -> SparkLine | None:
    """Return a small line between the lowest and the highest value; None for less than two."""
    if len(values) < 2:
        return None
    lowest, height = min(values), SPARK_HEIGHT - 2 * SPARK_MARGIN
    span = (max(values) - lowest) or 1
    points = [
        f"{number * SPARK_WIDTH / (len(values) - 1):.4g}"
        f" {SPARK_HEIGHT - SPARK_MARGIN - (value - lowest) / span * height:.4g}"
        for number, value in enumerate(values)
    ]
    line = "M" + " L".join(points)
    return SparkLine(line, f"{line} L{SPARK_WIDTH} {SPARK_HEIGHT} L0 {SPARK_HEIGHT}Z")


def is_labelled(number: int, count: int) -> bool:
    """Return whether a bucket has a label on the axis: the last one has, and at most eight have."""
    step = math.ceil(count / MAX_AXIS_LABELS)
    return (count - 1 - number) % step == 0


def align_to_end(values: Sequence[float], count: int) -> list[float]:
    """Return the last values, as many as given, with 0 for those that are missing before."""
    kept = list(values[-count:]) if count else []
    return [0.0] * (count - len(kept)) + kept


@dataclass(frozen=True)
class KeyMetric:
    """A value with its past and the value of the period before; None without data."""

    value: float | None
    before: float | None
    spark: SparkLine | None

    @property
    def change(self) -> float | None:
        """Return the difference to the period before."""
        if self.value is None or self.before is None:
            return None
        return self.value - self.before

    @property
    def change_percent(self) -> float | None:
        """Return the difference as a percentage of the period before; None if that had nothing."""
        return 100 * self.change / self.before if self.change is not None and self.before else None


@dataclass(frozen=True)
class AxisLabel:
    """The label of a period on the axis, and what follows it if there is room."""

    text: str
    detail: str = ""


@dataclass(frozen=True)
class BarRow:
    """A row of the table of a bar chart."""

    period: str
    value: float
    before: float


@dataclass(frozen=True)
class BarChart:
    """Bars of the current periods, and thinner ones of the periods before."""

    bars: Sequence[Bar]
    bars_before: Sequence[Bar]
    top: int
    labels: Sequence[AxisLabel]
    rows: Sequence[BarRow]
    bucket: Bucket

    @property
    def has_value_labels(self) -> bool:
        """Return whether there is room for the values above the bars."""
        return len(self.rows) <= MAX_VALUE_LABELS


@dataclass(frozen=True)
class WorkChart:
    """The numbers of open tasks by status as bands: review, in progress, inbox from below."""

    bands: Sequence[str]
    top: int
    labels: Sequence[AxisLabel]
    rows: Sequence[tuple[str, WipPoint]]  # by period
    first: WipPoint
    last: WipPoint

    @property
    def has_review_backlog(self) -> bool:
        """Return whether many tasks are in review, and more than in progress."""
        return self.last.review >= max(MIN_REVIEW_BACKLOG, self.last.in_progress + 1)


@dataclass(frozen=True)
class KeyMetrics:
    """All figures and charts of a range."""

    in_progress: KeyMetric
    done: KeyMetric
    cycle_hours: KeyMetric
    error_rate: KeyMetric
    median_hours: float | None  # of seven days, whatever the range
    active_agents: int
    done_per_day: float
    throughput: BarChart
    cycle_time: BarChart
    work: WorkChart


def build_key_metrics(found: Dashboard) -> KeyMetrics:
    """Prepare the metrics of a range."""
    totals, before = found.totals, found.totals_before
    work, earlier = found.wip.primary.points, found.wip.comparison.points
    timed = [point.value for point in found.cycle_time.primary.points if point.value]
    return KeyMetrics(
        in_progress=KeyMetric(
            found.kpis.in_progress_tasks,
            earlier[-1].in_progress,
            build_spark_line([point.in_progress for point in work]),
        ),
        done=KeyMetric(totals.done_tasks, before.done_tasks, _build_spark(found.throughput)),
        cycle_hours=KeyMetric(
            totals.mean_cycle_hours, before.mean_cycle_hours, build_spark_line(timed)
        ),
        error_rate=KeyMetric(
            totals.error_rate_pct,
            before.error_rate_pct,
            None if totals.error_rate_pct is None else _build_spark(found.error_rate),
        ),
        median_hours=found.kpis.median_cycle_time_hours_7d,
        active_agents=found.kpis.active_agents,
        done_per_day=totals.done_tasks / (RANGES[found.range].duration / timedelta(days=1)),
        throughput=build_bar_chart(found.throughput),
        cycle_time=build_bar_chart(found.cycle_time),
        work=build_work_chart(found.wip),
    )


def _build_spark(series: SeriesComparison[ValuePoint]) -> SparkLine | None:
    return build_spark_line([point.value for point in series.primary.points])


def build_bar_chart(series: SeriesComparison[ValuePoint]) -> BarChart:
    """Prepare a series as bars. The periods before are aligned so that both end together.

    The first period is left out: the start of the window cuts it, so "7d" would have 8 days.
    """
    points, bucket = series.primary.points[1:], series.primary.bucket
    values = [point.value for point in points]
    before = align_to_end([one.value for one in series.comparison.points], len(values))
    top = choose_axis_top([*values, *before])
    return BarChart(
        bars=build_bars(values, top),
        bars_before=build_bars(before, top, before=True),
        top=top,
        labels=[
            AxisLabel(*format_axis_label(point.period, bucket, len(points)))
            if is_labelled(number, len(points))
            else AxisLabel("")
            for number, point in enumerate(points)
        ],
        rows=[
            BarRow(format_full_period(point.period, bucket), point.value, earlier)
            for point, earlier in zip(points, before, strict=True)
        ],
        bucket=bucket,
    )


def build_work_chart(series: SeriesComparison[WipPoint]) -> WorkChart:
    """Prepare the numbers of open tasks as bands."""
    points, bucket = series.primary.points, series.primary.bucket
    rows = [(point.review, point.in_progress, point.inbox) for point in points]
    top = choose_axis_top([sum(row) for row in rows])
    return WorkChart(
        bands=build_bands(list(zip(*rows, strict=True)), top),
        top=top,
        labels=[
            AxisLabel(*format_axis_label(point.period, bucket, len(points)))
            for point in (points[0], points[-1])
        ],
        rows=[(format_full_period(point.period, bucket), point) for point in points],
        first=points[0],
        last=points[-1],
    )


def format_axis_label(period: datetime, bucket: Bucket, count: int) -> tuple[str, str]:
    """Return the label of a period, and what follows it if there is room.

    Hours are in the reader's time zone. Days begin in UTC, so their date is that in UTC.
    """
    if bucket is Bucket.HOUR:
        return format_date(period.astimezone(reader_zone.get()), "Hm"), ""
    if bucket is Bucket.DAY and period.date() == now().date():
        return _("Today"), ""
    if bucket is Bucket.DAY and count <= MAX_WEEKDAYS:
        return format_date(period, "E"), format_date(period, "d")
    return format_date(period, "MMM" if bucket is Bucket.MONTH else "MMMd"), ""


def format_full_period(period: datetime, bucket: Bucket) -> str:
    """Return the name of a period in a table: an hour, a day, the first day, or a month."""
    if bucket is Bucket.HOUR:
        local = period.astimezone(reader_zone.get())
        return f"{format_date(local, 'MMMd')}, {format_date(local, 'Hm')}"
    return format_date(period, FULL_SKELETONS[bucket])


def format_value(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """Return a number with at most one decimal, and with its sign if that is wanted."""
    value = round(value, digits)
    sign = MINUS if value < 0 else "+" if signed and value > 0 else ""
    return f"{sign}{format_number(abs(value))}"
