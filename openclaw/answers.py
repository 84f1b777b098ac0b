"""Parts of the answers of gateways. A part of an unexpected shape is read as if it were missing."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

JsonObject = Mapping[str, Any]
T = TypeVar("T")


def value_of_type(value: object, type: type[T]) -> T | None:
    """Return a value if it has a type, or None."""
    return value if isinstance(value, type) else None


def to_object(answer: object) -> JsonObject:
    """Return an answer if it is an object, or an empty object."""
    return answer if isinstance(answer, Mapping) else {}


def get_mapping(answer: object, name: str) -> JsonObject:
    """Return the object that an answer has under a name, or an empty one."""
    return to_object(to_object(answer).get(name))


def get_list(answer: object, name: str = "") -> list[JsonObject]:
    """Return the objects of a list, or of the list that an answer has under a name."""
    found = answer.get(name) if isinstance(answer, Mapping) else answer
    return [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []


def parse_milliseconds(value: object) -> datetime | None:
    """Return the UTC time of a number of milliseconds since 1970.

    Return None if the value is no number, or no time that can be represented.
    """
    if not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
