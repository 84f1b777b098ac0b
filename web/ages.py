"""Times as people read them: how long ago, by when, and how an agent's heart beats."""

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kit.clock import in_utc, now

MINUTE, HOUR, DAY, WEEK = 60, 3_600, 86_400, 604_800  # seconds
USUAL_CADENCE = 600  # seconds between two heartbeats of an agent that was told nothing else
SURELY_LOST = 600  # seconds; a quick agent is not called lost before

reader_zone: ContextVar[tzinfo] = ContextVar("reader_zone", default=UTC)
"""The time zone of the person for whom a page is being written."""


@dataclass(frozen=True)
class Beat:
    """A heartbeat meter: its words, how full it is (0 to 100), and if it is `late` or `lost`."""

    words: str
    share: float
    over: str = ""


def zone(name: str | None) -> tzinfo:
    """Return a person's time zone, or UTC if they have named none that we know."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def moment_of(day: date | None, clock: time, zone: tzinfo) -> datetime | None:
    """Return the moment at which the clock shows this on a day where the person is."""
    if day is None:
        return None
    if day.year in (date.min.year, date.max.year):  # may lie in no year elsewhere
        zone = UTC
    return datetime.combine(day, clock, zone).astimezone(UTC)


def age(moment: datetime, ago: bool = False) -> str:
    """Say how long ago: "4 min", "2 h", "3 d", after a week the date. static/ages.js does, too."""
    moment = in_utc(moment)
    seconds = int((now() - moment).total_seconds())
    if seconds < MINUTE:
        return "just now" if ago else "now"
    if seconds >= WEEK:
        return day(moment)
    if seconds < HOUR:
        words = f"{seconds // MINUTE} min"
    elif seconds < DAY:
        words = f"{seconds // HOUR} h"
    else:
        words = f"{seconds // DAY} d"
    return f"{words} ago" if ago else words


def left(moment: datetime) -> str:
    """Say how long until then: "in 4 min", "in 2 h"; "any moment" when it is soon, or over."""
    seconds = int((in_utc(moment) - now()).total_seconds())
    if seconds < MINUTE:
        return "any moment"
    words = f"{seconds // MINUTE} min" if seconds < HOUR else f"{seconds // HOUR} h"
    return f"in {words}"


def absolute(moment: datetime) -> str:
    """Say exactly when, in the reader's time zone: "Tue 24 Nov 2026, 15:02 CET"."""
    local = _local(moment)
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M} {local.tzname()}"


def iso(moment: datetime) -> str:
    """Return a moment for machines, in UTC."""
    return in_utc(moment).isoformat(timespec="seconds").replace("+00:00", "Z")


def day(moment: datetime) -> str:
    """Say which day, in the reader's time zone: "9 Nov", with the year if it is not this one."""
    local = _local(moment)
    words = f"{local.day} {local:%b}"
    return words if local.year == _today().year else f"{words} {local.year}"


def deadline(moment: datetime, done: bool = False) -> str:
    """Say by when: "Today", "28 Nov", "2 days over". What is done is never over."""
    left = _days_left(moment)
    if left == 0 and not done:
        return "Today"
    if left >= 0 or done:
        return day(moment)
    return "1 day over" if left == -1 else f"{-left} days over"


def overdue(moment: datetime) -> bool:
    """Whether the day of a deadline has passed where the reader is."""
    return _days_left(moment) < 0


def beat_of(last_seen: datetime | None, every: float | None = None) -> Beat:
    """Measure a heartbeat: the time since the last check-in, of the seconds between two."""
    if last_seen is None:
        return Beat("No check-in yet", 0)
    every = every or USUAL_CADENCE
    silent = max(0.0, (now() - in_utc(last_seen)).total_seconds())
    over = ""
    if silent > max(SURELY_LOST, 2 * every):
        over = "lost"
    elif silent > every:
        over = "late"
    return Beat(_of(silent, every), min(100.0, 100 * silent / every), over)


def _of(silent: float, every: float) -> str:
    """Say "2 of 10 min", or "40 s of 10 min" where the units differ."""
    passed, unit = _measured(silent)
    allowed, allowed_unit = _measured(every)
    if unit == allowed_unit:
        return f"{passed} of {allowed} {unit}"
    return f"{passed} {unit} of {allowed} {allowed_unit}"


def _measured(seconds: float) -> tuple[int, str]:
    for size, unit, until in ((1, "s", MINUTE), (MINUTE, "min", 2 * HOUR), (HOUR, "h", 2 * DAY)):
        if seconds < until:
            return int(seconds // size), unit
    return int(seconds // DAY), "d"


def _local(moment: datetime) -> datetime:
    return in_utc(moment).astimezone(reader_zone.get())


def _today() -> date:
    return now().astimezone(reader_zone.get()).date()


def _days_left(moment: datetime) -> int:
    return (_local(moment).date() - _today()).days
