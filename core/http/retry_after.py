"""The header Retry-After of HTTP responses (RFC 9110): seconds, or a date."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from core.clock import now

MAX_RETRY_AFTER = timedelta(days=1)
MAX_LENGTH = 100  # characters of a value


def read_retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Return how long the sender of a response wants no request; None if it does not say."""
    found = (value for name, value in headers.items() if name.lower() == "retry-after")
    return parse_retry_after(next(found, None))


def parse_retry_after(value: object) -> timedelta | None:
    """Parse a number of seconds or a date of HTTP; returns a second to MAX_RETRY_AFTER."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    text = str(value)[: MAX_LENGTH + 1]
    try:
        seconds = float(text)
    except ValueError:
        seconds = _parse_date(text)
    if seconds is None or seconds != seconds or len(text) > MAX_LENGTH:
        return None
    return timedelta(seconds=max(1.0, min(seconds, MAX_RETRY_AFTER.total_seconds())))


def _parse_date(text: str) -> float | None:
    """Return the seconds until a date of HTTP."""
    try:
        at: datetime = parsedate_to_datetime(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return (at - now()).total_seconds()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
