"""A row of the original, and its values as they can be stored here. What changes is noted."""

import json
import math
from collections.abc import Callable, Container, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from core.clock import now
from core.fields import MAX_NAME_LENGTH, MAX_TEXT_LENGTH
from core.text import (
    is_nested_too_deeply,
    is_storable_json,
    replace_unstorable,
    to_one_line,
)
from services.original.report import ImportReport
from services.original.source import MAX_JSON_LENGTH, Row

Choice = TypeVar("Choice", bound=StrEnum)

TOO_LARGE = object()


class OriginalRow:
    """A row of the original. The methods return values that can be stored, and note changes."""

    def __init__(self, kind: str, values: Row, report: ImportReport) -> None:
        self.values = values
        self.id: UUID = values["id"]
        self._kind, self._report = kind, report

    def __getitem__(self, name: str) -> Any:
        """Return a value as it is."""
        return self.values[name]

    def note(self, text: str) -> None:
        """Note a change of this row."""
        self._report.changes[self._kind, text].add(self.id)

    def leave(self, reason: str) -> None:
        """Note why this row, or a part of it, stays behind."""
        self._report.left[self._kind, reason].add(self.id)

    def line(self, name: str, default: str = "", *, max_length: int = MAX_NAME_LENGTH) -> str:
        """Return a text as one line that is not too long; the default if nothing is left of it."""
        given = self.values[name]
        shown = to_one_line(given or "")
        if given and shown != given and " ".join(given.split()) != shown:
            self.note(f"{name}: characters that are not shown are left out")
        if not shown and default:
            self.note(f"{name}: it was empty and becomes “{default}”")
        return self._cut(name, shown or default, max_length).strip()

    def text(self, name: str, *, max_length: int = MAX_TEXT_LENGTH) -> str | None:
        """Return a text that is not too long."""
        given = self.values[name]
        return None if given is None else self._cut(name, given, max_length)

    def _cut(self, name: str, text: str, max_length: int) -> str:
        if len(text) > max_length:
            self.note(f"{name}: cut to {max_length:,} characters")
        return text[:max_length]

    def choice(self, name: str, choices: type[Choice], default: Choice) -> Choice:
        """Return a value of an enum; the default for another one."""
        try:
            return choices(str(self.values[name]).strip().lower())
        except ValueError:
            self.note(f"{name}: another value than {', '.join(choices)} becomes {default}")
            return default

    def time(self, name: str) -> datetime | None:
        """Return a time with its zone."""
        given = self.values[name]
        return None if given is None else given.replace(tzinfo=UTC)

    def moment(self, name: str = "created_at") -> datetime:
        """Return a time that must be there; the present for one that cannot be represented."""
        found = self.time(name)
        if found is None:
            self.note(f"{name}: a year that cannot be stored becomes that of the import")
        return found or now()

    def reference(self, name: str, known: Container[UUID], reason: str) -> UUID | None:
        """Return an id if it is known; otherwise None, which is noted."""
        id: UUID | None = self.values[name]
        if id is None or id in known:
            return id
        self.note(f"{name}: {reason}")
        return None

    def object(self, name: str, *, max_length: int = MAX_JSON_LENGTH) -> dict[str, Any] | None:
        """Return a JSON object; None for another value."""
        found = self.json(name, max_length=max_length)
        if found is None or isinstance(found, dict):
            return found
        self.note(f"{name}: values that are not objects are left out")
        return None

    def json(self, name: str, *, max_length: int = MAX_JSON_LENGTH) -> Any:
        """Return a JSON value that can be stored; None for one that is too large."""
        given = self.values[name]
        if given is None:
            return None
        value = read_json(given)
        cleaned = value if value is TOO_LARGE else clean_json(value)
        if cleaned is TOO_LARGE or not is_storable_json(cleaned, max_length=max_length):
            self.note(f"{name}: a value that is too large is left out")
            return None
        if cleaned != value:
            self.note(f"{name}: characters that cannot be stored are replaced")
        return cleaned


def read_json(text: str) -> Any:
    """Parse the text of a JSON value; return TOO_LARGE if it is too long or nested too deeply."""
    if len(text) > MAX_JSON_LENGTH:
        return TOO_LARGE
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # ValueError: an integer of thousands of digits
        return TOO_LARGE
    return TOO_LARGE if is_nested_too_deeply(value) else value


def clean_json(value: Any) -> Any:
    """Replace the characters and numbers that PostgreSQL cannot store."""
    if isinstance(value, str):
        return replace_unstorable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [clean_json(one) for one in value]
    if isinstance(value, dict):
        return {replace_unstorable(name): clean_json(one) for name, one in value.items()}
    return value


def list_texts(value: object, *, max_length: int, max_count: int) -> list[str]:
    """Return the texts of a list, each cut, without the others."""
    listed = value if isinstance(value, list) else []
    return [one[:max_length] for one in listed if isinstance(one, str)][:max_count]


class FreeNames:
    """Gives out names that must be unique for their owner, such as slugs in an organization."""

    def __init__(self, normalize: Callable[[str], str] = str) -> None:
        self._next: dict[tuple[UUID, str], int] = {}  # numbers of taken names
        self._normalize = normalize

    def take(self, owner: UUID, name: str, *, join: str = "-") -> str:
        """Return the name, or else the name with the first number that makes it unique."""
        base = owner, self._normalize(name)
        candidate = name
        while (key := (owner, self._normalize(candidate))) in self._next:
            self._next[base] += 1
            ending = f"{join}{self._next[base]}"
            candidate = name[: MAX_NAME_LENGTH - len(ending)] + ending
        self._next[key] = 1
        return candidate


def get_text(value: Mapping[str, Any], name: str) -> str:
    """Return a text of an object, or an empty one."""
    found = value.get(name)
    return found if isinstance(found, str) else ""
