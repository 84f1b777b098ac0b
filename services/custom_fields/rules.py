"""What may be said of a custom field when it is defined (contract, 3.5). Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

import re2

from kit.errors import Invalid
from kit.values import Check, an_id, optional, text, trimmed, words, yes_or_no
from models import FieldType, Visibility
from services.custom_fields.values import WRITTEN, compiled, fault

LONGEST_NAME = 200  # characters of a key or a label
LONGEST_TEXT = 20_000  # characters of a description
LONGEST_REGEX = 1_000  # characters
MOST_BOARDS = 1_000

TYPES: Mapping[str, FieldType] = {
    **{type.value: type for type in FieldType},
    "text (long)": FieldType.TEXT_LONG,
    "long_text": FieldType.TEXT_LONG,
    "true/false": FieldType.BOOLEAN,
    "date & time": FieldType.DATE_TIME,
    "datetime": FieldType.DATE_TIME,
}
"""How a type may be called, in small letters."""

VISIBILITIES: Mapping[str, Visibility] = {
    **{visibility.value: visibility for visibility in Visibility},
    "if set": Visibility.IF_SET,
}
"""How a visibility may be called, in small letters."""

Named = TypeVar("Named", bound=StrEnum)


@dataclass(frozen=True, kw_only=True)
class FieldDraft:
    """A field to be. Without a label, it is called by its key."""

    field_key: str
    board_ids: Iterable[UUID]
    label: str | None = None
    field_type: FieldType | str = FieldType.TEXT
    ui_visibility: Visibility | str = Visibility.ALWAYS
    validation_regex: str | None = None
    description: str | None = None
    required: bool = False
    default_value: Any = None


def check_fit(fields: Mapping[str, Any]) -> None:
    """Raise Invalid unless type, regular expression and default go together."""
    type, regex = fields["field_type"], fields["validation_regex"]
    if regex is not None and type not in WRITTEN:
        kinds = ", ".join(sorted(WRITTEN))
        reason = f"A regular expression is for fields of these types: {kinds}."
        raise Invalid("regex_not_for_type", reason, field="validation_regex")
    wrong = fault(type, regex, fields["default_value"])
    if wrong is not None:
        raise Invalid("default_value_invalid", f"The default value {wrong}.")


def _one_of(names: Mapping[str, Named], code: str) -> Check:
    def check(value: object, field: str) -> Named:
        found = names.get(value.strip().lower()) if isinstance(value, str) else None
        if found is None:
            known = ", ".join(dict.fromkeys(names.values()))
            raise Invalid(code, f"This is one of: {known}.", field=field)
        return found

    return check


def _regex(value: object, field: str) -> str | None:
    given = optional(trimmed(LONGEST_REGEX))(value, field)
    if not given:
        return None
    try:
        compiled(given)
    except re2.error as error:
        [why] = error.args or (b"",)
        reason = why.decode(errors="replace") if isinstance(why, bytes) else str(why)
        told = f"This is no regular expression that RE2 knows: {reason}."
        raise Invalid("regex_invalid", told, field=field) from error
    return given


def _boards(value: object, field: str) -> list[UUID]:
    listed = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
    ids = list(dict.fromkeys(an_id(one, field) for one in listed))
    if not 1 <= len(ids) <= MOST_BOARDS:
        reason = f"A field belongs to a board at least, and to {MOST_BOARDS:,} at most."
        raise Invalid("boards_required", reason, field=field)
    return ids


def _anything(value: object, _field: str) -> object:
    return value  # whether it fits, is a question of the type


CHECKS: Mapping[str, Check] = {
    "label": words(LONGEST_NAME),
    "field_type": _one_of(TYPES, "unknown_field_type"),
    "ui_visibility": _one_of(VISIBILITIES, "unknown_visibility"),
    "validation_regex": _regex,
    "description": optional(text(LONGEST_TEXT)),
    "required": yes_or_no,
    "default_value": _anything,
    "board_ids": _boards,
}
"""What may be changed of a field, and what each takes."""

FIRST_CHECKS: Mapping[str, Check] = {"field_key": words(LONGEST_NAME), **CHECKS}
"""What may be said of a field to be: its key, too, which never changes."""
