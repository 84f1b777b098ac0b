"""Decide which values custom fields can have, and read values from texts (contract 3.5)."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit

import re2

from core.errors import Invalid
from core.text import N_, is_storable, is_storable_json
from models import FieldType

MAX_LINE_LENGTH = 2_000  # characters of a text or an address
MAX_LONG_TEXT_LENGTH = 100_000  # characters of a long text
MAX_JSON_LENGTH = 64 * 1024  # characters
MAX_NUMBER = 2**53 - 1  # larger integers lose digits in some JSON readers
MAX_REGEX_MEMORY = 1024 * 1024  # bytes for a compiled regular expression

INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
DECIMAL = re.compile(
    r"[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE
)
BOOLEANS = {"true": True, "false": False}


def check_definition(fields: Mapping[str, Any]) -> None:
    """Raise Invalid unless type, regular expression and default value are consistent."""
    type, regex = fields["field_type"], fields["validation_regex"]
    if regex is not None and type not in TEXT_TYPES:
        reason = N_("Only texts, dates and URLs can have a validation pattern.")
        raise Invalid("regex_not_for_type", reason, field="validation_regex")
    error = find_value_error(type, regex, fields["default_value"])
    if error is not None:
        cause = find_error_cause(type, fields["default_value"])
        raise Invalid("default_value_invalid", f"The default value {error}.", cause=cause)


TEXT_TYPES = {
    FieldType.TEXT,
    FieldType.TEXT_LONG,
    FieldType.DATE,
    FieldType.DATE_TIME,
    FieldType.URL,
}
"""The types whose values are strings, so that a regular expression is allowed."""


def find_value_error(type: FieldType, regex: str | None, value: object) -> str | None:
    """Return why a value is invalid, as the end of a sentence. None is always valid."""
    if value is None:
        return None
    reason = VALUE_CHECKS[type](value)
    if reason is None and regex is not None and compile_regex(regex).fullmatch(str(value)) is None:
        return "must match the field's regular expression, from the first letter to the last"
    return reason


def find_error_cause(type: FieldType, value: object) -> str:
    """Return the cause of an invalid value for pages: its type, or "pattern" if that is right."""
    return type.value if find_value_error(type, None, value) else "pattern"


def is_blank(value: object) -> bool:
    """Say whether a value counts as missing for a required field."""
    return value is None or (isinstance(value, str) and not value.strip())


@lru_cache(maxsize=256)
def compile_regex(regex: str) -> Any:
    """Compile a regular expression, with a cache. Raises re2.error."""
    return re2.compile(regex, _regex_options())


@cache
def _regex_options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_REGEX_MEMORY
    return options


def _text_check(max_length: int) -> Callable[[object], str | None]:
    def check(value: object) -> str | None:
        if not isinstance(value, str):
            return "must be a text"
        if len(value) > max_length:
            return f"must not be longer than {max_length:,} characters"
        return None if is_storable(value) else "has a character that cannot be stored"

    return check


def _url_error(value: object) -> str | None:
    error = _text_check(MAX_LINE_LENGTH)(value)
    if error is not None:
        return error
    try:
        parts = urlsplit(str(value))
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_address = False
    has_blanks = any(character.isspace() for character in str(value))
    return None if is_address and not has_blanks else "must be an address with http or https"


def _number_error(value: object, kinds: tuple[type, ...], name: str) -> str | None:
    if isinstance(value, bool) or not isinstance(value, kinds):
        return f"must be {name}"
    assert isinstance(value, int | float)
    fits = -MAX_NUMBER <= value <= MAX_NUMBER
    return None if fits else f"must lie between -{MAX_NUMBER:,} and {MAX_NUMBER:,}"


def _integer_error(value: object) -> str | None:
    return _number_error(value, (int,), "a whole number")


def _decimal_error(value: object) -> str | None:
    return _number_error(value, (int, float), "a number")


def _boolean_error(value: object) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _date_error(value: object) -> str | None:
    return _parse_error(value, date.fromisoformat, "a date, as in 2026-11-24")


def _date_time_error(value: object) -> str | None:
    return _parse_error(
        value, datetime.fromisoformat, "a date and a time, as in 2026-11-24T22:28:33Z"
    )


def _parse_error(value: object, parse: Callable[[str], object], name: str) -> str | None:
    try:
        parse(value if isinstance(value, str) else "")
    except ValueError:
        return f"must be {name}"
    return None


def _json_error(value: object) -> str | None:
    if not isinstance(value, dict | list):
        return "must be an object or a list"
    if not is_storable_json(value, max_length=MAX_JSON_LENGTH):
        return "is too large, or is no JSON"
    return None


VALUE_CHECKS: Mapping[FieldType, Callable[[object], str | None]] = {
    FieldType.TEXT: _text_check(MAX_LINE_LENGTH),
    FieldType.TEXT_LONG: _text_check(MAX_LONG_TEXT_LENGTH),
    FieldType.INTEGER: _integer_error,
    FieldType.DECIMAL: _decimal_error,
    FieldType.BOOLEAN: _boolean_error,
    FieldType.DATE: _date_error,
    FieldType.DATE_TIME: _date_time_error,
    FieldType.URL: _url_error,
    FieldType.JSON: _json_error,
}
"""The check of each type: returns an error as the end of a sentence, or None."""


def parse_text(type: FieldType, text: str) -> Any:
    """Return the value of a text; None if it is blank.

    A text that is not of the type is returned as it is, so that the validation rejects it.
    """
    typed = text.strip()
    if not typed:
        return None
    parse = PARSERS.get(type)
    return parse(typed) if parse else text


def _parse_integer(text: str) -> int | str:
    return int(text) if INTEGER.fullmatch(text) else text


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
    FieldType.INTEGER: _parse_integer,
    FieldType.DECIMAL: _parse_decimal,
    FieldType.BOOLEAN: lambda text: BOOLEANS.get(text.lower(), text),
    FieldType.DATE: str,
    FieldType.DATE_TIME: str,
    FieldType.URL: str,
    FieldType.JSON: _parse_json,
}
"""Functions that read a text without blanks around it. Other types keep the text as it is."""
