"""What the value of a custom field may be. Pure: nothing here asks the database."""

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit

import re2

from kit.text import storable, storable_json
from models import FieldType

LONGEST_LINE = 2_000  # characters of a text or an address
LONGEST_TEXT = 100_000  # characters of a long text
LARGEST_JSON = 64 * 1024  # characters
LARGEST_NUMBER = 2**53 - 1  # what every reader of JSON keeps to the last digit
LARGEST_PROGRAM = 1024 * 1024  # bytes that a regular expression may take

WRITTEN = {
    FieldType.TEXT,
    FieldType.TEXT_LONG,
    FieldType.DATE,
    FieldType.DATE_TIME,
    FieldType.URL,
}
"""The types whose values are texts, for which a regular expression can be asked."""


def fault(type: FieldType, regex: str | None, value: object) -> str | None:
    """Return what is wrong with a value; None says that it fits, as nothing always does."""
    if value is None:
        return None
    reason = FAULTS[type](value)
    if reason is None and regex is not None and compiled(regex).fullmatch(str(value)) is None:
        return "must match the field's regular expression, from the first letter to the last"
    return reason


def is_blank(value: object) -> bool:
    """Say whether a value says nothing: a field that is required wants more than blanks."""
    return value is None or (isinstance(value, str) and not value.strip())


@lru_cache(maxsize=256)
def compiled(regex: str) -> Any:
    """Return a regular expression, ready to be used. Raises re2.error."""
    return re2.compile(regex, _options())


@cache
def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = LARGEST_PROGRAM
    return options


def _text(longest: int) -> Callable[[object], str | None]:
    def check(value: object) -> str | None:
        if not isinstance(value, str):
            return "must be a text"
        if len(value) > longest:
            return f"must not be longer than {longest:,} characters"
        return None if storable(value) else "has a character that cannot be stored"

    return check


def _url(value: object) -> str | None:
    wrong = _text(LONGEST_LINE)(value)
    if wrong is not None:
        return wrong
    try:
        parts = urlsplit(str(value))
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_address = False
    has_blanks = any(character.isspace() for character in str(value))
    return None if is_address and not has_blanks else "must be an address with http or https"


def _number(value: object, kinds: tuple[type, ...], name: str) -> str | None:
    if isinstance(value, bool) or not isinstance(value, kinds):
        return f"must be {name}"
    assert isinstance(value, int | float)
    fits = math.isfinite(value) and abs(value) <= LARGEST_NUMBER
    return None if fits else f"must lie between -{LARGEST_NUMBER:,} and {LARGEST_NUMBER:,}"


def _integer(value: object) -> str | None:
    return _number(value, (int,), "a whole number")


def _decimal(value: object) -> str | None:
    return _number(value, (int, float), "a number")


def _boolean(value: object) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _date(value: object) -> str | None:
    return _read(value, date.fromisoformat, "a date, as in 2026-11-24")


def _date_time(value: object) -> str | None:
    return _read(value, datetime.fromisoformat, "a date and a time, as in 2026-11-24T22:28:33Z")


def _read(value: object, read: Callable[[str], object], name: str) -> str | None:
    try:
        read(value if isinstance(value, str) else "")
    except ValueError:
        return f"must be {name}"
    return None


def _json(value: object) -> str | None:
    if not isinstance(value, dict | list):
        return "must be an object or a list"
    return None if storable_json(value, largest=LARGEST_JSON) else "is too large, or is no JSON"


FAULTS: Mapping[FieldType, Callable[[object], str | None]] = {
    FieldType.TEXT: _text(LONGEST_LINE),
    FieldType.TEXT_LONG: _text(LONGEST_TEXT),
    FieldType.INTEGER: _integer,
    FieldType.DECIMAL: _decimal,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _date,
    FieldType.DATE_TIME: _date_time,
    FieldType.URL: _url,
    FieldType.JSON: _json,
}
"""What is wrong with a value of each type, as the rest of a sentence; None if nothing is."""
