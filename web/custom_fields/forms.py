"""The form of a custom field."""

import re
import unicodedata
from collections.abc import Collection, Sequence, Set
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel

from core.errors import Invalid
from models import CustomField
from services.custom_fields import TYPE_NAMES, CustomFieldDraft
from web.custom_fields.values import format_for_form, parse_value
from web.ui.edited_fields import EditedField, FieldKind, without
from web.ui.forms import BlankAsNone, OptionalText, Switch
from web.ui.translation import N_, _

KEY = re.compile(r"[a-z][a-z0-9_]*")
MAX_KEY_LENGTH = 200  # characters


def list_edited_fields(field: CustomField, board_ids: Sequence[UUID]) -> list[EditedField]:
    """Return the current values of a field as its form shows them; of its boards the readable."""
    default = format_for_form(field.field_type, field.default_value)
    return [
        EditedField("label", N_("Label"), field.label, FieldKind.LINE),
        EditedField("field_type", N_("Type"), field.field_type),
        EditedField("ui_visibility", N_("Visibility on tasks"), field.ui_visibility),
        EditedField("required", N_("Required"), field.required),
        EditedField(
            "validation_regex", N_("Validation pattern"), field.validation_regex, FieldKind.LINE
        ),
        EditedField("default_value", N_("Default value"), default, FieldKind.TEXT),
        EditedField("description", N_("Description"), field.description, FieldKind.TEXT),
        EditedField("board_ids", N_("Boards"), board_ids),
    ]


class CustomFieldForm(BaseModel):
    """The properties of a custom field. A blank label is the key."""

    label: Annotated[str | None, BlankAsNone] = None
    field_type: str = ""
    ui_visibility: str = ""
    required: Switch = False
    validation_regex: Annotated[str | None, BlankAsNone] = None
    default_value: str = ""
    description: OptionalText = None
    board_ids: list[UUID] = []

    def to_changes(
        self, field: CustomField, untouched: Set[str], hidden_board_ids: Collection[UUID]
    ) -> dict[str, Any]:
        """Return the changed properties; a default value is converted with a changed type."""
        if "field_type" not in untouched:
            untouched -= {"default_value"}
        values = self.to_values(hidden_board_ids)
        return without(values | {"label": self.label or field.field_key}, untouched)

    def to_values(self, hidden_board_ids: Collection[UUID] = ()) -> dict[str, Any]:
        """Return the properties as the service takes them.

        `hidden_board_ids` are boards that the user cannot read; they keep the field.
        """
        type = TYPE_NAMES.get(self.field_type)
        default = self.default_value
        return self.model_dump() | {
            "default_value": parse_value(type, default) if type else default,
            "board_ids": [*self.board_ids, *hidden_board_ids],
        }


class NewCustomFieldForm(CustomFieldForm):
    """The properties of a new custom field."""

    field_key: Annotated[str | None, BlankAsNone] = None

    def to_draft(self) -> CustomFieldDraft:
        """Return the field to create; a blank key is derived from the label.

        The API accepts other keys. Raises Invalid if programs would have to quote the key, or if
        there is none.
        """
        key = self.field_key or derive_key(self.label or "")
        if not (key or self.label):
            raise Invalid("field_required", _("Fill this in."), field="label")
        if not key:
            reason = _("This name has no letters from a to z, so write a key.")
            raise Invalid("field_key_missing", reason, field="field_key")
        if not KEY.fullmatch(key):
            reason = _("Use lower-case letters, digits and underscores, and begin with a letter.")
            raise Invalid("field_key_invalid", reason, field="field_key")
        values = self.to_values()
        values["field_key"] = key
        return CustomFieldDraft(**values)


def derive_key(label: str) -> str:
    """Return the key for a label: "Effort points!" becomes `effort_points`."""
    ascii_text = unicodedata.normalize("NFKD", label.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"^[\d_]+|_+$", "", re.sub(r"[^a-z0-9]+", "_", ascii_text))[:MAX_KEY_LENGTH]
