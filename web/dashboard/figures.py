"""The figures and charts of the dashboard, prepared for their templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.metrics import RANGES, Bucket, Dashboard, SeriesComparison, ValuePoint, WipPoint
from web.dashboard import charts
from web.dashboard.charts import Bar, SparkLine
from web.dashboard.value_format import format_axis_label, format_full_period

MIN_REVIEW_BACKLOG = 5  # tasks; fewer are normal, also while no other task is in progress


@dataclass(frozen=True)
class Figure:
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
    def active_count(self) -> int:
        """Return the number of periods that have a value."""
        return sum(1 for row in self.rows if row.value)

    @property
    def has_value_labels(self) -> bool:
        """Return whether there is room for the values above the bars."""
        return len(self.rows) <= charts.MAX_VALUE_LABELS


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
class Figures:
    """All figures and charts of a range."""

    in_progress: Figure
    done: Figure
    cycle_hours: Figure
    error_rate: Figure
    median_hours: float | None  # of seven days, whatever the range
    active_agents: int
    done_per_day: float
    throughput: BarChart
    cycle_time: BarChart
    work: WorkChart


def build_figures(found: Dashboard) -> Figures:
    """Prepare the metrics of a range."""
    totals, before = found.totals, found.totals_before
    work, earlier = found.wip.primary.points, found.wip.comparison.points
    timed = [point.value for point in found.cycle_time.primary.points if point.value]
    return Figures(
        in_progress=Figure(
            found.kpis.in_progress_tasks,
            earlier[-1].in_progress,
            charts.build_spark_line([point.in_progress for point in work]),
        ),
        done=Figure(totals.done_tasks, before.done_tasks, _build_spark(found.throughput)),
        cycle_hours=Figure(
            totals.mean_cycle_hours, before.mean_cycle_hours, charts.build_spark_line(timed)
        ),
        error_rate=Figure(
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
    return charts.build_spark_line([point.value for point in series.primary.points])


def build_bar_chart(series: SeriesComparison[ValuePoint]) -> BarChart:
    """Prepare a series as bars. The periods before are aligned so that both end together."""
    points, bucket = series.primary.points, series.primary.bucket
    values = [point.value for point in points]
    before = charts.align_to_end([one.value for one in series.comparison.points], len(values))
    top = charts.choose_axis_top([*values, *before])
    return BarChart(
        bars=charts.build_bars(values, top),
        bars_before=charts.build_bars(before, top, before=True),
        top=top,
        labels=_build_labels([point.period for point in points], bucket),
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
    top = charts.choose_axis_top([sum(row) for row in rows])
    return WorkChart(
        bands=charts.build_bands(list(zip(*rows, strict=True)), top),
        top=top,
        labels=[
            AxisLabel(*format_axis_label(point.period, bucket, len(points)))
            for point in (points[0], points[-1])
        ],
        rows=[(format_full_period(point.period, bucket), point) for point in points],
        first=points[0],
        last=points[-1],
    )


def _build_labels(periods: Sequence[datetime], bucket: Bucket) -> list[AxisLabel]:
    count = len(periods)
    return [
        AxisLabel(*format_axis_label(period, bucket, count))
        if charts.is_labelled(number, count)
        else AxisLabel("")
        for number, period in enumerate(periods)
    ]
