"""Validate field values and object versions, independent of checks in pages and API.

A check takes a value and a field name; it returns the value to store or raises Invalid.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from core.errors import Invalid, PreconditionFailed
from core.text import N_, is_email, is_storable, is_storable_json

FieldCheck: TypeAlias = Callable[[object, str], Any]

ALLOWED_YEARS = range(2, 9999)  # years that can be represented in every time zone
MAX_INTEGER = 2**31 - 1  # maximum of PostgreSQL's type integer
MAX_NAME_LENGTH = 200  # characters of names, slugs and other single lines
MAX_TEXT_LENGTH = 100_000  # characters of descriptions, comments and other texts


def validate_fields(
    checks: Mapping[str, FieldCheck], given: Mapping[str, object]
) -> dict[str, Any]:
    """Return the given fields that have a check, as values to store.

    Raises Invalid with the field name.
    """
    return {name: check(given[name], name) for name, check in checks.items() if name in given}


def optional(check: FieldCheck) -> FieldCheck:
    """Return a check that also accepts None."""
    return lambda value, field: None if value is None else check(value, field)


def text_of_length(max_length: int) -> FieldCheck:
    """Return a check for a text of at most `most` characters; the text is not changed."""

    def check(value: object, field: str) -> str:
        name = _label(field)
        if not isinstance(value, str):
            raise Invalid("text_required", f"{name} must be a text.", field=field)
        if len(value) > max_length:
            reason = N_("This is too long: %(length)s characters, %(max_length)s at most.")
            raise Invalid("too_long", reason, field=field, length=len(value), max_length=max_length)
        if not is_storable(value):
            reason = f"{name} has a character that cannot be stored. Take it out."
            raise Invalid("bad_character", reason, field=field)
        return value

    return check


def trimmed_text(max_length: int) -> FieldCheck:
    """Return a check that strips surrounding whitespace; the result can be empty."""
    whole = text_of_length(max_length)
    return lambda value, field: whole(value, field).strip()


def nonblank_text(max_length: int) -> FieldCheck:
    """Return a check that strips surrounding whitespace and rejects an empty result."""
    bare = trimmed_text(max_length)

    def check(value: object, field: str) -> str:
        left: str = bare(value, field)
        if not left:
            raise Invalid("blank", N_("Fill this in."), field=field)
        return left

    return check


def normalized_email(value: object, field: str) -> str:
    """Check that a value is an e-mail address; return it stripped and in lower case."""
    email: str = text_of_length(2_540)(value, field).strip().lower()
    if not is_email(email):
        raise Invalid("email_invalid", N_("This is not an e-mail address."), field=field)
    return email


def json_object(max_length: int) -> FieldCheck:
    """Return a check for a JSON object of at most `largest` characters."""

    def check(value: object, field: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Invalid("object_required", f"{_label(field)} must be an object.", field=field)
        if not is_storable_json(value, max_length=max_length):
            reason = N_("This is too large, or not valid JSON.")
            raise Invalid("not_storable", reason, field=field)
        return value

    return check


def _label(field: str) -> str:
    return field.removesuffix("_id").replace("_", " ").capitalize()


KnownVersions: TypeAlias = Collection[int] | None
"""The versions accepted by the caller; None if none were sent, so that the last write wins."""


def check_version(known: KnownVersions, current: int) -> None:
    """Raise PreconditionFailed if the current version is not one of the known versions.

    Call it after all other checks: other errors take precedence (RFC 9110, 13.2.1).
    """
    if known is not None and current not in known:
        raise PreconditionFailed
