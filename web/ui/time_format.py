"""Formats of times: age, deadline, and heartbeat of an agent."""

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.clock import now, to_utc

MINUTE, HOUR, DAY, WEEK = 60, 3_600, 86_400, 604_800  # seconds
DEFAULT_HEARTBEAT_INTERVAL = 600  # seconds, of an agent without a configured interval
MIN_LOST_SECONDS = 600  # minimum silence before an agent counts as lost

reader_zone: ContextVar[tzinfo] = ContextVar("reader_zone", default=UTC)
"""The time zone of the user for whom a page is rendered."""


@dataclass(frozen=True)
class HeartbeatMeter:
    """A heartbeat: text, elapsed percentage (0 to 100), and `late` or `lost`."""

    text: str
    percent: float
    lateness: str = ""


def get_time_zone(name: str | None) -> tzinfo:
    """Return a user's time zone, or UTC if the name is missing or unknown."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def combine_local(day: date | None, clock: time, zone: tzinfo) -> datetime | None:
    """Combine a local date and time in a time zone to a moment in UTC."""
    if day is None:
        return None
    if day.year in (date.min.year, date.max.year):  # may lie in no year elsewhere
        zone = UTC
    return datetime.combine(day, clock, zone).astimezone(UTC)


def format_age(moment: datetime, ago: bool = False) -> str:
    """Format an age: "4 min", "2 h", "3 d", after a week the date; as static/relative_time.js."""
    moment = to_utc(moment)
    seconds = int((now() - moment).total_seconds())
    if seconds < MINUTE:
        return "just now" if ago else "now"
    if seconds >= WEEK:
        return format_day(moment)
    if seconds < HOUR:
        words = f"{seconds // MINUTE} min"
    elif seconds < DAY:
        words = f"{seconds // HOUR} h"
    else:
        words = f"{seconds // DAY} d"
    return f"{words} ago" if ago else words


def format_time_left(moment: datetime) -> str:
    """Say how long until then: "in 4 min", "in 2 h"; "any moment" when it is soon, or over."""
    seconds = int((to_utc(moment) - now()).total_seconds())
    if seconds < MINUTE:
        return "any moment"
    words = f"{seconds // MINUTE} min" if seconds < HOUR else f"{seconds // HOUR} h"
    return f"in {words}"


def format_absolute(moment: datetime) -> str:
    """Format a moment in the reader's time zone: "Tue 24 Nov 2026, 15:02 CET"."""
    local = _to_reader_zone(moment)
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M} {local.tzname()}"


def format_iso(moment: datetime) -> str:
    """Format a moment in UTC for machines."""
    return to_utc(moment).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_day(moment: datetime) -> str:
    """Format the local date: "9 Nov", with the year if it is not the current one."""
    local = _to_reader_zone(moment)
    words = f"{local.day} {local:%b}"
    return words if local.year == _today().year else f"{words} {local.year}"


def format_deadline(moment: datetime, done: bool = False) -> str:
    """Format a deadline: "Today", "28 Nov", "2 days over". A done task is never overdue."""
    left = _days_left(moment)
    if left == 0 and not done:
        return "Today"
    if left >= 0 or done:
        return format_day(moment)
    return "1 day over" if left == -1 else f"{-left} days over"


def is_overdue(moment: datetime) -> bool:
    """Return whether the local day of a deadline has passed."""
    return _days_left(moment) < 0


def build_heartbeat_meter(last_seen: datetime | None, every: float | None = None) -> HeartbeatMeter:
    """Compare the time since the last check-in with the heartbeat interval (seconds)."""
    if last_seen is None:
        return HeartbeatMeter("No check-in yet", 0)
    every = every or DEFAULT_HEARTBEAT_INTERVAL
    silent = max(0.0, (now() - to_utc(last_seen)).total_seconds())
    over = ""
    if silent > max(MIN_LOST_SECONDS, 2 * every):
        over = "lost"
    elif silent > every:
        over = "late"
    return HeartbeatMeter(_format_ratio(silent, every), min(100.0, 100 * silent / every), over)


def _format_ratio(silent: float, every: float) -> str:
    """Format elapsed and allowed time: "2 of 10 min", or "40 s of 10 min" for different units."""
    passed, unit = _in_largest_unit(silent)
    allowed, allowed_unit = _in_largest_unit(every)
    if unit == allowed_unit:
        return f"{passed} of {allowed} {unit}"
    return f"{passed} {unit} of {allowed} {allowed_unit}"


def _in_largest_unit(seconds: float) -> tuple[int, str]:
    for size, unit, until in ((1, "s", MINUTE), (MINUTE, "min", 2 * HOUR), (HOUR, "h", 2 * DAY)):
        if seconds < until:
            return int(seconds // size), unit
    return int(seconds // DAY), "d"


def _to_reader_zone(moment: datetime) -> datetime:
    return to_utc(moment).astimezone(reader_zone.get())


def _today() -> date:
    return now().astimezone(reader_zone.get()).date()


def _days_left(moment: datetime) -> int:
    return (_to_reader_zone(moment).date() - _today()).days
