"""Texts of periods and numbers on the dashboard, as the reader's language writes them."""

from datetime import datetime

from core.clock import now
from services.metrics import Bucket
from web.ui.locale_format import format_date, format_number
from web.ui.time_format import reader_zone
from web.ui.translation import _

MINUS = "\N{MINUS SIGN}"
MAX_WEEKDAYS = 8  # days of a range that are named by their weekday
FULL_SKELETONS = {
    Bucket.DAY: "yMMMd",
    Bucket.WEEK: "yMMMd",
    Bucket.MONTH: "yMMM",
}


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
