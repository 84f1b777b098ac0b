"""How time is cut for the dashboard: a window up to now, the one before it, and their buckets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

MOMENT = timedelta(microseconds=1)


class Bucket(StrEnum):
    """What a point of a series stands for. All begin and end in UTC; weeks, on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class Range:
    """How far back one looks, and in which steps."""

    key: str
    duration: timedelta
    bucket: Bucket


RANGES: Mapping[str, Range] = {
    range.key: range
    for range in (
        Range("24h", timedelta(hours=24), Bucket.HOUR),
        Range("3d", timedelta(days=3), Bucket.DAY),
        Range("7d", timedelta(days=7), Bucket.DAY),
        Range("14d", timedelta(days=14), Bucket.DAY),
        Range("1m", timedelta(days=30), Bucket.DAY),
        Range("3m", timedelta(days=90), Bucket.WEEK),
        Range("6m", timedelta(days=180), Bucket.WEEK),
        Range("1y", timedelta(days=365), Bucket.MONTH),
    )
}


@dataclass(frozen=True)
class Window:
    """A stretch of time, cut into buckets: the first began before it, or together with it."""

    start: datetime
    end: datetime
    periods: Sequence[datetime]  # when each of its buckets begins

    @property
    def begins(self) -> list[datetime]:
        """When each bucket begins within the window."""
        return [self.start, *self.periods[1:]]


@dataclass(frozen=True)
class Timeline:
    """The window up to now, and behind it the one to compare it with: no moment is in both."""

    primary: Window
    comparison: Window

    @property
    def edges(self) -> list[datetime]:
        """When each bucket of both begins, the older first; and when the last one is over."""
        return [*self.comparison.begins, *self.primary.begins, self.primary.end + MOMENT]


def timeline(range: Range, at: datetime) -> Timeline:
    """Cut time as it is seen from a moment."""
    start = at - range.duration
    return Timeline(
        primary=_window(range.bucket, start, at),
        comparison=_window(range.bucket, start - range.duration, start),
    )


def _window(bucket: Bucket, start: datetime, end: datetime) -> Window:
    periods = [_beginning(bucket, start)]
    while (following := _next(bucket, periods[-1])) <= end:
        periods.append(following)
    return Window(start, end, periods)


def _beginning(bucket: Bucket, moment: datetime) -> datetime:
    """Return when the bucket began in which a moment lies."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if bucket is Bucket.HOUR:
        return hour
    day = hour.replace(hour=0)
    if bucket is Bucket.DAY:
        return day
    return day - timedelta(days=day.weekday()) if bucket is Bucket.WEEK else day.replace(day=1)


def _next(bucket: Bucket, period: datetime) -> datetime:
    if bucket is Bucket.MONTH:
        return (period + timedelta(days=31)).replace(day=1)
    return period + LENGTHS[bucket]


LENGTHS = {
    Bucket.HOUR: timedelta(hours=1),
    Bucket.DAY: timedelta(days=1),
    Bucket.WEEK: timedelta(weeks=1),
}
