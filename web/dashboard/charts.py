"""Geometry of the charts: pure functions from values to coordinates of SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

SPARK_WIDTH, SPARK_HEIGHT, SPARK_MARGIN = 96, 36, 4
MAX_AXIS_LABELS = 8
MAX_VALUE_LABELS = 15  # bars; with more of them the values are only in the table
AXIS_STEPS = (2, 4, 6, 8, 10, 12, 16)  # tops of an axis whose half is a whole number
BAR_SHARE, BEFORE_SHARE, GAP_SHARE = 0.46, 0.16, 0.04  # of the width of a bucket


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
