"""What values may be: the last line before the database, behind the checks of the faces.

A check takes a value and the name of its field, and returns what is to be stored or raises Invalid.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from kit.clock import in_utc
from kit.errors import Invalid
from kit.text import storable, storable_json

Check: TypeAlias = Callable[[object, str], Any]

YEARS = range(2, 9999)  # what can be told in every time zone
LARGEST_WHOLE = 2**31 - 1  # of a column of PostgreSQL's type integer
LONGEST_EMAIL = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets


def checked(checks: Mapping[str, Check], given: Mapping[str, object]) -> dict[str, Any]:
    """Return the given fields that there are checks for, each as it is to be stored.

    Raises Invalid, with the field.
    """
    return {name: check(given[name], name) for name, check in checks.items() if name in given}


def optional(check: Check) -> Check:
    """Make a check that also takes nothing."""
    return lambda value, field: None if value is None else check(value, field)


def text(most: int) -> Check:
    """Make a check for a text of at most `most` characters, kept as it is."""

    def check(value: object, field: str) -> str:
        name = _named(field)
        if not isinstance(value, str):
            raise Invalid("text_required", f"{name} must be a text.", field=field)
        if len(value) > most:
            reason = f"{name} is too long: {len(value):,} characters, {most:,} at most."
            raise Invalid("too_long", reason, field=field)
        if not storable(value):
            reason = f"{name} has a character that cannot be stored. Take it out."
            raise Invalid("bad_character", reason, field=field)
        return value

    return check


def trimmed(most: int) -> Check:
    """Make a check for a text without the blanks around it, which may be empty."""
    whole = text(most)
    return lambda value, field: whole(value, field).strip()


def words(most: int) -> Check:
    """Make a check for a text of which something is left without the blanks around it."""
    bare = trimmed(most)

    def check(value: object, field: str) -> str:
        left: str = bare(value, field)
        if not left:
            raise Invalid("blank", f"{_named(field)} must not be blank.", field=field)
        return left

    return check


def email_address(value: object, field: str) -> str:
    """Check that a value could be an e-mail address, and return it trimmed, in small letters."""
    email: str = text(10 * LONGEST_EMAIL)(value, field).strip().lower()
    if not is_email(email):
        raise Invalid("email_invalid", "This is not an e-mail address.", field=field)
    return email


def is_email(text: str) -> bool:
    """Say whether a text could be an e-mail address: something, an @, something, no blanks."""
    name, at, place = text.partition("@")
    is_whole = bool(name and at and place) and "@" not in place and len(text) <= LONGEST_EMAIL
    return is_whole and text.isprintable() and " " not in text


def whole_number(least: int = 0, most: int = LARGEST_WHOLE) -> Check:
    """Make a check for a whole number from `least` to `most`."""

    def check(value: object, field: str) -> int:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not (is_number and least <= value <= most):
            reason = f"{_named(field)} must be a whole number from {least:,} to {most:,}."
            raise Invalid("number_out_of_range", reason, field=field)
        return value

    return check


def json_object(largest: int) -> Check:
    """Make a check for an object of JSON, of at most `largest` characters."""

    def check(value: object, field: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Invalid("object_required", f"{_named(field)} must be an object.", field=field)
        if not storable_json(value, largest=largest):
            reason = f"{_named(field)} is too large, or holds what is no JSON."
            raise Invalid("not_storable", reason, field=field)
        return value

    return check


def yes_or_no(value: object, field: str) -> bool:
    """Check that a value is true or false."""
    if not isinstance(value, bool):
        raise Invalid("boolean_required", f"{_named(field)} must be true or false.", field=field)
    return value


def an_id(value: object, field: str) -> UUID:
    """Check that a value is an id."""
    if not isinstance(value, UUID):
        raise Invalid("id_required", f"{_named(field)} must be an id.", field=field)
    return value


def moment(value: object, field: str) -> datetime:
    """Check that a value is a time that can be told in every zone, and return it in UTC."""
    name = _named(field)
    if not isinstance(value, datetime):
        raise Invalid("date_required", f"{name} must be a date and a time.", field=field)
    if value.year not in YEARS:
        reason = f"{name} must be in a year from {YEARS[0]} to {YEARS[-1]}."
        raise Invalid("date_out_of_range", reason, field=field)
    return in_utc(value)


def _named(field: str) -> str:
    return field.removesuffix("_id").replace("_", " ").capitalize()
