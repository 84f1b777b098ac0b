"""Decide which values custom fields can have, and read values from texts."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import re2

from core.errors import Invalid
from core.text import N_, is_nested_too_deeply, is_storable, is_storable_json
from models import FieldType

INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
DECIMAL = re.compile(
    r"[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE
)


def check_definition(fields: Mapping[str, Any]) -> None:
    """Raise Invalid unless type, regular expression and default value are consistent."""
    type, regex = fields["field_type"], fields["validation_regex"]
    if regex is not None and type not in TEXT_TYPES:
        reason = N_("Only texts, dates and URLs can have a validation pattern.")
        raise Invalid("regex_not_for_type", reason, field="validation_regex")
    error = find_value_error(type, regex, fields["default_value"])
    if error is not None:
        raise Invalid("default_value_invalid", error, field="default_value", sent_as="text")


TEXT_TYPES = {
    FieldType.TEXT,
    FieldType.TEXT_LONG,
    FieldType.DATE,
    FieldType.DATE_TIME,
    FieldType.URL,
}
"""The types whose values are strings, so that a regular expression is allowed."""


def find_value_error(type: FieldType, regex: str | None, value: object) -> str | None:
    """Return the text of the error of a value, if it is invalid. None is always valid."""
    if value is None:
        return None
    reason = VALUE_CHECKS[type](value)
    if reason is None and regex is not None and compile_regex(regex).fullmatch(str(value)) is None:
        return N_("This does not match the pattern of the field.")
    return reason


def is_blank(value: object) -> bool:
    """Say whether a value counts as missing for a required field."""
    return value is None or (isinstance(value, str) and not value.strip())


@lru_cache(maxsize=256)
def compile_regex(regex: str) -> Any:
    """Compile a regular expression, with a cache. Raises re2.error."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1024 * 1024  # bytes
    return re2.compile(regex, options)


def _text_error(value: object, max_length: int, too_long: str) -> str | None:
    if not isinstance(value, str):
        return "This must be a text."  # of the API: a form sends nothing else
    if len(value) > max_length:
        return too_long
    return None if is_storable(value) else N_("A character in this text cannot be stored.")


def _number_error(value: object, wrong: str, kinds: tuple[type, ...]) -> str | None:
    if not isinstance(value, int | float) or type(value) not in kinds:
        return wrong
    # Larger integers lose digits in some JSON readers.
    if abs(value) <= 2**53 - 1:
        return None
    return N_("Write a number from -9,007,199,254,740,991 to 9,007,199,254,740,991.")


def _time_error(value: object, wrong: str, parse: Callable[[str], object]) -> str | None:
    # Python accepts any number of digits of a second, and ignores those after the sixth.
    text = value if isinstance(value, str) and len(value) <= 100 else ""
    try:
        parse(text)
    except ValueError:
        return wrong
    return None


def _url_error(value: object) -> str | None:
    error = VALUE_CHECKS[FieldType.TEXT](value)
    if error is not None:
        return error
    try:
        parts = urlsplit(str(value))
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_address = False
    has_blanks = any(character.isspace() for character in str(value))
    if is_address and not has_blanks:
        return None
    return N_("Write an address that begins with http:// or https://.")


def _json_error(value: object) -> str | None:
    is_value = isinstance(value, dict | list) and is_storable_json(value, max_length=64 * 1024)
    if is_value and not is_nested_too_deeply(value):
        return None
    return N_("Write a JSON object or list of at most 64 kB.")


VALUE_CHECKS: Mapping[FieldType, Callable[[object], str | None]] = {
    FieldType.TEXT: lambda value: _text_error(value, 2_000, N_("Write at most 2,000 characters.")),
    FieldType.TEXT_LONG: lambda value: _text_error(
        value, 100_000, N_("Write at most 100,000 characters.")
    ),
    FieldType.INTEGER: lambda value: _number_error(value, N_("Write a whole number."), (int,)),
    FieldType.DECIMAL: lambda value: _number_error(value, N_("Write a number."), (int, float)),
    FieldType.BOOLEAN: lambda value: None if isinstance(value, bool) else N_("Choose yes or no."),
    FieldType.DATE: lambda value: _time_error(
        value, N_("Write a date like 2026-12-24."), date.fromisoformat
    ),
    FieldType.DATE_TIME: lambda value: _time_error(
        value, N_("Write a date and a time like 2026-12-24T18:30."), datetime.fromisoformat
    ),
    FieldType.URL: _url_error,
    FieldType.JSON: _json_error,
}
"""The check of each type: returns the text of an error, or None."""


def parse_text(type: FieldType, text: str) -> Any:
    """Return the value of a text; None if it is blank.

    A text that is not of the type is returned as it is, so that the validation rejects it.
    """
    typed = text.strip()
    if not typed:
        return None
    parse = PARSERS.get(type)
    return parse(typed) if parse else text


def _parse_decimal(text: str) -> float | str:
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if DECIMAL.fullmatch(text) else text


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


PARSERS: Mapping[FieldType, Callable[[str], Any]] = {
    FieldType.INTEGER: lambda text: int(text) if INTEGER.fullmatch(text) else text,
    FieldType.DECIMAL: _parse_decimal,
    FieldType.BOOLEAN: lambda text: {"true": True, "false": False}.get(text.lower(), text),
    FieldType.DATE: str,
    FieldType.DATE_TIME: str,
    FieldType.URL: str,
    FieldType.JSON: _parse_json,
}
"""Functions that read a text without blanks around it. Other types keep the text as it is."""
