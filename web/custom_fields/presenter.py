"""Data of custom fields for the templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from core.db.reads import Source
from models import CustomField, FieldType, Member, Visibility
from services import boards
from services.custom_fields import CustomFieldDetail
from web.custom_fields.values import format_for_page
from web.ui.translation import N_, pgettext, translate

TYPE_NAMES = {
    FieldType.TEXT: N_("Text"),
    FieldType.TEXT_LONG: N_("Long text"),
    FieldType.INTEGER: N_("Whole number"),
    FieldType.DECIMAL: N_("Decimal number"),
    FieldType.BOOLEAN: N_("Yes or no"),
    FieldType.DATE: N_("Date"),
    FieldType.DATE_TIME: N_("Date and time"),
    FieldType.URL: N_("URL"),
    FieldType.JSON: N_("JSON"),
}

SORT_KEYS = {
    "label": lambda line: (line.field.label.lower(), line.field.id),
    "type": lambda line: (line.type_name, line.field.label.lower()),
    "updated": lambda line: line.field.updated_at,
}
"""Sort keys by column."""


class FieldBoard(NamedTuple):
    """A board in the checklist of a field."""

    id: UUID
    name: str


@dataclass(frozen=True)
class FieldLine:
    """A line of the list of fields."""

    field: CustomField
    type_name: str
    visibility_name: str
    default: str  # "" without one
    board_names: Sequence[str]  # of those that the member may read
    hidden_board_count: int


def name_visibilities() -> dict[Visibility, str]:
    """Return the names of the visibilities in the reader's language."""
    return {
        Visibility.ALWAYS: pgettext("visibility of a field", "Always"),
        Visibility.IF_SET: pgettext("visibility of a field", "Only if set"),
        Visibility.HIDDEN: pgettext("visibility of a field", "Hidden"),
    }


async def list_board_choices(source: Source, member: Member) -> list[FieldBoard]:
    """Return the boards that the member may read, by name."""
    summaries = await boards.list_board_summaries(source, member)
    return [FieldBoard(one.board.id, one.board.name) for one in summaries]


def build_field_lines(
    details: Sequence[CustomFieldDetail], choices: Sequence[FieldBoard]
) -> list[FieldLine]:
    """Build the lines of the list of fields."""
    names = {choice.id: choice.name for choice in choices}
    return [_build_line(detail, names) for detail in details]


def _build_line(detail: CustomFieldDetail, names: Mapping[UUID, str]) -> FieldLine:
    field = detail.field
    readable = [names[id] for id in detail.board_ids if id in names]
    value = field.default_value
    return FieldLine(
        field,
        translate(TYPE_NAMES[field.field_type]),
        name_visibilities()[field.ui_visibility],
        "" if value is None else format_for_page(field.field_type, value),
        sorted(readable, key=str.lower),
        len(detail.board_ids) - len(readable),
    )


def list_form_options() -> dict[str, Any]:
    """Return the types and visibilities as options."""
    return {
        "type_options": [(type.value, translate(name)) for type, name in TYPE_NAMES.items()],
        "visibility_options": [(one.value, name) for one, name in name_visibilities().items()],
    }
