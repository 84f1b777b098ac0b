"""Formats of times: age, deadline, and heartbeat of an agent."""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.clock import now, to_utc
from web.ui.locale_format import format_date
from web.ui.translation import N_, _, ngettext, translate

MINUTE, HOUR, DAY, WEEK = 60, 3_600, 86_400, 604_800  # seconds
UNITS = {"s": 1, "min": MINUTE, "h": HOUR, "d": DAY}  # seconds
LIMITS = {"s": MINUTE, "min": 2 * HOUR, "h": 2 * DAY}  # seconds, below which a unit is used
MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
CALENDAR_YEARS = range(1900, 3000)
DEFAULT_HEARTBEAT_INTERVAL = 600  # seconds, of an agent without a configured interval
MIN_LOST_SECONDS = 600  # minimum silence before an agent counts as lost

DURATIONS = {
    # Translators: a number of seconds, minutes, hours or days, as short as possible
    "s": N_("%(number)d s"),
    "min": N_("%(number)d min"),
    "h": N_("%(number)d h"),
    "d": N_("%(number)d d"),
}
AGE_TEXTS = {
    **DURATIONS,
    # Translators: age is like "4 min"
    "ago": N_("%(age)s ago"),
    "in": N_("in %(time)s"),
    "now": N_("now"),
    "just_now": N_("just now"),
    "any_moment": N_("any moment"),
}
"""Texts of ages, which static/relative_time.js uses, too."""

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


def parse_day(text: str | None) -> date | None:
    """Parse a day of an address, or return None."""
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


def parse_month(text: str) -> date | None:
    """Parse a month of an address, like 2026-11, and return its first day, or None."""
    day = parse_day(f"{text}-01") if MONTH.fullmatch(text) else None
    return day if day and day.year in CALENDAR_YEARS else None


def start_of_day(day: date | None, zone: tzinfo, *, days_later: int = 0) -> datetime | None:
    """Return the start of a day in a time zone, or None without a day that has one everywhere."""
    if day is None or day.year in (date.min.year, date.max.year):
        return None
    return combine_local(day + timedelta(days_later), time.min, zone)


def format_age(moment: datetime, ago: bool = False) -> str:
    """Format an age: "4 min", "2 h", "3 d", after a week the date; as static/relative_time.js."""
    moment = to_utc(moment)
    seconds = int((now() - moment).total_seconds())
    if seconds < MINUTE:
        return translate(AGE_TEXTS["just_now" if ago else "now"])
    if seconds >= WEEK:
        return format_day(moment)
    unit = "min" if seconds < HOUR else "h" if seconds < DAY else "d"
    age = format_duration(seconds, unit)
    return _(AGE_TEXTS["ago"], age=age) if ago else age


def format_time_left(moment: datetime) -> str:
    """Say how long until then: "in 4 min", "in 2 h", "in 3 d"; "any moment" if soon or over.

    Days are rounded to the nearest number, so that a whole period is not short of one at once.
    """
    seconds = int((to_utc(moment) - now()).total_seconds())
    if seconds < MINUTE:
        return translate(AGE_TEXTS["any_moment"])
    unit = "min" if seconds < HOUR else "h" if seconds < LIMITS["h"] else "d"
    rounding = DAY // 2 if unit == "d" else 0
    return _(AGE_TEXTS["in"], time=format_duration(seconds + rounding, unit))


def format_duration(seconds: float, unit: str = "") -> str:
    """Format a duration in a unit of UNITS, rounded down; without one, in the largest that fits."""
    unit = unit or next((name for name, limit in LIMITS.items() if seconds < limit), "d")
    return _(DURATIONS[unit], number=seconds // UNITS[unit])


def format_absolute(moment: datetime) -> str:
    """Format a moment in the reader's time zone: "Tue 24 Nov 2026, 15:02 CET"."""
    local = _to_reader_zone(moment)
    day, clock = format_date(local, "yMMMEd"), f"{local.hour:02}:{local.minute:02}"
    return _("%(date)s, %(time)s %(zone)s", date=day, time=clock, zone=local.tzname())


def format_iso(moment: datetime) -> str:
    """Format a moment in UTC for machines."""
    return to_utc(moment).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_day(moment: datetime) -> str:
    """Format the local date: "9 Nov", with the year if it is not the current one."""
    local = _to_reader_zone(moment)
    return format_date(local, "MMMd" if local.year == _today().year else "yMMMd")


def format_deadline(moment: datetime, done: bool = False) -> str:
    """Format a deadline: "Today", "28 Nov", "2 days over". A done task is never overdue."""
    left = _days_left(moment)
    if left == 0 and not done:
        return _("Today")
    if left >= 0 or done:
        return format_day(moment)
    return ngettext("%(num)d day over", "%(num)d days over", -left)


def is_overdue(moment: datetime) -> bool:
    """Return whether the local day of a deadline has passed."""
    return _days_left(moment) < 0


def build_heartbeat_meter(last_seen: datetime | None, every: float | None = None) -> HeartbeatMeter:
    """Compare the time since the last check-in with the heartbeat interval (seconds)."""
    if last_seen is None:
        return HeartbeatMeter(_("No check-in yet"), 0)
    every = every or DEFAULT_HEARTBEAT_INTERVAL
    silent = max(0.0, (now() - to_utc(last_seen)).total_seconds())
    over = ""
    if silent > max(MIN_LOST_SECONDS, 2 * every):
        over = "lost"
    elif silent > every:
        over = "late"
    text = _(
        "Last seen %(age)s ago (expected every %(interval)s)",
        age=format_duration(silent),
        interval=format_duration(every),
    )
    return HeartbeatMeter(text, min(100.0, 100 * silent / every), over)


def _to_reader_zone(moment: datetime) -> datetime:
    return to_utc(moment).astimezone(reader_zone.get())


def _today() -> date:
    return now().astimezone(reader_zone.get()).date()


def _days_left(moment: datetime) -> int:
    return (_to_reader_zone(moment).date() - _today()).days
