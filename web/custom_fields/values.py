"""Convert values of custom fields from texts of forms, and to texts of forms and pages."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from models import FieldType
from web.ui import time_format
from web.ui.locale_format import format_number
from web.ui.translation import _

INTEGER = re.compile(r"[+-]?\d{1,20}")
DECIMAL = re.compile(r"[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})(e[+-]?\d{1,3})?", re.IGNORECASE)
BOOLEANS = {"true": True, "false": False}
LOCAL_FORMAT = "%Y-%m-%dT%H:%M"  # of a field for a date and a time


def parse_value(type: FieldType, text: str, zone: tzinfo | None = None) -> Any:
    """Return the value of a submitted text; None if it is blank.

    A text that is not of the type is returned as it is, so that the service rejects it. With a
    `zone`, a date and a time without an offset are in this time zone.
    """
    typed = text.strip()
    if not typed:
        return None
    if type is FieldType.DATE_TIME and zone is not None:
        return _parse_local(typed, zone)
    parse = PARSERS.get(type)
    return parse(typed) if parse else text


def _parse_integer(text: str) -> int | str:
    return int(text) if INTEGER.fullmatch(text) else text


def _parse_decimal(text: str) -> float | str:
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if DECIMAL.fullmatch(text) else text


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


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


PARSERS: Mapping[FieldType, Callable[[str], Any]] = {
    FieldType.INTEGER: _parse_integer,
    FieldType.DECIMAL: _parse_decimal,
    FieldType.BOOLEAN: lambda text: BOOLEANS.get(text.lower(), text),
    FieldType.DATE: str,
    FieldType.DATE_TIME: str,
    FieldType.URL: str,
    FieldType.JSON: _parse_json,
}
"""Functions that read a text without blanks around it. Other types keep the text as it is."""


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
