"""Validate the definitions and values of custom fields (contract 3.5). All functions are pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import re2

from core.errors import Invalid
from core.text import is_storable, is_storable_json
from core.validation import (
    MAX_NAME_LENGTH,
    FieldCheck,
    boolean_value,
    nonblank_text,
    optional,
    text_of_length,
    trimmed_text,
    uuid_value,
)
from models import FieldType, Visibility

MAX_DESCRIPTION_LENGTH = 20_000  # characters
MAX_REGEX_LENGTH = 1_000  # characters
MAX_BOARDS = 1_000
MAX_LINE_LENGTH = 2_000  # characters of a text or an address
MAX_LONG_TEXT_LENGTH = 100_000  # characters of a long text
MAX_JSON_LENGTH = 64 * 1024  # characters
MAX_NUMBER = 2**53 - 1  # larger integers lose digits in some JSON readers
MAX_REGEX_MEMORY = 1024 * 1024  # bytes for a compiled regular expression

TYPE_NAMES: Mapping[str, FieldType] = {
    **{type.value: type for type in FieldType},
    "text (long)": FieldType.TEXT_LONG,
    "long_text": FieldType.TEXT_LONG,
    "true/false": FieldType.BOOLEAN,
    "date & time": FieldType.DATE_TIME,
    "datetime": FieldType.DATE_TIME,
}
"""The accepted names of types, in lower case."""

VISIBILITY_NAMES: Mapping[str, Visibility] = {
    **{visibility.value: visibility for visibility in Visibility},
    "if set": Visibility.IF_SET,
}
"""The accepted names of visibilities, in lower case."""

EnumType = TypeVar("EnumType", bound=StrEnum)


@dataclass(frozen=True, kw_only=True)
class CustomFieldDraft:
    """The properties of a new custom field. Without a label, the key is the label."""

    field_key: str
    board_ids: Iterable[UUID]
    label: str | None = None
    field_type: FieldType | str = FieldType.TEXT
    ui_visibility: Visibility | str = Visibility.ALWAYS
    validation_regex: str | None = None
    description: str | None = None
    required: bool = False
    default_value: Any = None


def check_definition(fields: Mapping[str, Any]) -> None:
    """Raise Invalid unless type, regular expression and default value are consistent."""
    type, regex = fields["field_type"], fields["validation_regex"]
    if regex is not None and type not in TEXT_TYPES:
        kinds = ", ".join(sorted(TEXT_TYPES))
        reason = f"A regular expression is for fields of these types: {kinds}."
        raise Invalid("regex_not_for_type", reason, field="validation_regex")
    error = find_value_error(type, regex, fields["default_value"])
    if error is not None:
        cause = find_error_cause(type, fields["default_value"])
        raise Invalid("default_value_invalid", f"The default value {error}.", cause=cause)


def _enum_check(names: Mapping[str, EnumType], code: str) -> FieldCheck:
    def check(value: object, field: str) -> EnumType:
        found = names.get(value.strip().lower()) if isinstance(value, str) else None
        if found is None:
            known = ", ".join(dict.fromkeys(names.values()))
            raise Invalid(code, f"This is one of: {known}.", field=field)
        return found

    return check


def _check_regex(value: object, field: str) -> str | None:
    given = optional(trimmed_text(MAX_REGEX_LENGTH))(value, field)
    if not given:
        return None
    try:
        compile_regex(given)
    except re2.error as error:
        [detail] = error.args or (b"",)
        reason = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
        message = f"This is no regular expression that RE2 knows: {reason}."
        raise Invalid("regex_invalid", message, field=field) from error
    return given


def _check_board_ids(value: object, field: str) -> list[UUID]:
    values = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
    ids = list(dict.fromkeys(uuid_value(one, field) for one in values))
    if not 1 <= len(ids) <= MAX_BOARDS:
        reason = f"A field belongs to a board at least, and to {MAX_BOARDS:,} at most."
        raise Invalid("boards_required", reason, field=field)
    return ids


def _accept_any(value: object, _field: str) -> object:
    return value  # check_definition checks it together with the type


FIELD_CHECKS: Mapping[str, FieldCheck] = {
    "label": nonblank_text(MAX_NAME_LENGTH),
    "field_type": _enum_check(TYPE_NAMES, "unknown_field_type"),
    "ui_visibility": _enum_check(VISIBILITY_NAMES, "unknown_visibility"),
    "validation_regex": _check_regex,
    "description": optional(text_of_length(MAX_DESCRIPTION_LENGTH)),
    "required": boolean_value,
    "default_value": _accept_any,
    "board_ids": _check_board_ids,
}
"""The properties of a field that can be updated, each with its check."""

CREATION_CHECKS: Mapping[str, FieldCheck] = {
    "field_key": nonblank_text(MAX_NAME_LENGTH),
    **FIELD_CHECKS,
}
"""The properties of a new field: also its key, which cannot be updated."""


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
