"""Convert values of custom fields from texts of forms, and to texts of forms and pages."""

import json
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from models import FieldType
from services import custom_fields
from web.ui import time_format
from web.ui.locale_format import format_number
from web.ui.translation import _

LOCAL_FORMAT = "%Y-%m-%dT%H:%M"  # of a field for a date and a time


def parse_value(type: FieldType, text: str, zone: tzinfo | None = None) -> Any:
    """Return the value of a submitted text; None if it is blank.

    With a `zone`, a date and a time without an offset are in this time zone.
    """
    if type is FieldType.DATE_TIME and zone is not None and text.strip():
        return _parse_local(text.strip(), zone)
    return custom_fields.parse_text(type, text)


def _parse_local(text: str, zone: tzinfo) -> str:
    """Return a local date and time in UTC; any other text as it is."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone).astimezone(UTC)
            return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    except (ValueError, OverflowError):
        return text
    return text


def format_for_form(type: FieldType, value: Any, zone: tzinfo | None = None) -> str:
    """Return the text of a value in a form; with a `zone`, a date and a time are local there."""
    if value is None:
        return ""
    if type is FieldType.DATE_TIME and zone is not None:
        moment = _parse_moment(value)
        return moment.astimezone(zone).strftime(LOCAL_FORMAT) if moment else ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2 if type is FieldType.JSON else None)


def format_for_page(type: FieldType, value: Any) -> str:
    """Return the text of a value on a page, in the language and time zone of the reader."""
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    if isinstance(value, int | float):
        return format_number(value)
    if type is FieldType.DATE_TIME:
        moment = _parse_moment(value)
        return time_format.format_absolute(moment) if moment else str(value)
    if type is FieldType.DATE:
        return _format_date(str(value))
    return format_for_form(type, value)


def _parse_moment(value: object) -> datetime | None:
    """Return the moment of a stored value; one without an offset is in UTC."""
    try:
        moment = datetime.fromisoformat(str(value))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moment.astimezone(time_format.reader_zone.get())  # may lie in no year there
    except (ValueError, OverflowError):
        return None
    return moment


def _format_date(text: str) -> str:
    try:
        return time_format.format_date(date.fromisoformat(text), "yMMMd")
    except ValueError:
        return text
