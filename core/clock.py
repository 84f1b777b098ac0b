"""Return the current time in UTC, parse durations, and list time zones."""

import re
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import available_timezones


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def to_utc(moment: datetime) -> datetime:
    """Convert to UTC; a datetime without a time zone is interpreted as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def format_naive_utc(moment: datetime) -> str:
    """Format a time as the API does: UTC, with microseconds, without a zone (C19)."""
    return to_utc(moment).replace(tzinfo=None).isoformat(timespec="microseconds")


MAX_DURATION = timedelta(days=7)
DURATION_PATTERN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> timedelta | None:
    """Return a duration, at most MAX_DURATION. Return None if the text is not a duration."""
    text = text.strip()
    return _parse_short_duration(text) if len(text) <= 100 else None  # others take seconds to read


@lru_cache(maxsize=1_000)
def _parse_short_duration(text: str) -> timedelta | None:
    parts = DURATION_PATTERN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    seconds = sum(float(number) * SECONDS[unit] for number, unit in parts)
    return timedelta(seconds=min(seconds, MAX_DURATION.total_seconds()))


@cache
def list_time_zone_names() -> frozenset[str]:
    """Return the IANA names of all time zones, which are read from hundreds of files once."""
    return frozenset(available_timezones())
