"""The custom fields of tasks in forms: what they show, their values and their errors."""

from collections.abc import Generator, Iterable, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from core.errors import Invalid
from core.http.request import Session
from models import Board, CustomField, FieldType, User, Visibility
from services import custom_fields, tasks
from services.custom_fields import TaskField
from services.tasks import TaskCreate, TaskDetail
from web.custom_fields.values import format_for_form, format_for_page, parse_value
from web.ui import forms, time_format
from web.ui.edited_fields import EditedField, FieldKind
from web.ui.locale_format import describe_error
from web.ui.translation import N_, _

NAME_PREFIX = "field-"
EDITED_KINDS = {
    FieldType.TEXT: FieldKind.LINE,
    FieldType.URL: FieldKind.LINE,
    FieldType.TEXT_LONG: FieldKind.TEXT,
    FieldType.JSON: FieldKind.TEXT,
}
"""How conflicts of values are resolved; of other types one value is chosen."""


@dataclass(frozen=True)
class FieldView:
    """A custom field of a task as pages show it, with the texts of its input."""

    field: CustomField
    name: str  # of its input
    text: str  # of the effective value; "" without one
    stored: str  # text of the stored value for the input
    default: str  # text of the default for the input
    default_text: str  # text of the default for people
    is_missing: bool  # required, and without a value

    @property
    def is_shown(self) -> bool:
        """Whether a task shows the field. A missing value is always shown, since it is required."""
        visibility = self.field.ui_visibility
        is_set = visibility is Visibility.IF_SET and bool(self.text)
        return visibility is Visibility.ALWAYS or is_set or self.is_missing

    @property
    def can_be_set(self) -> bool:
        """Whether forms show the field."""
        return self.field.ui_visibility is not Visibility.HIDDEN or self.is_missing


def build_field_views(fields: Iterable[TaskField], user: User) -> list[FieldView]:
    """Build what pages show of custom fields, in the time zone of the user."""
    zone = time_format.get_time_zone(user.timezone)
    return [_build_view(one, zone) for one in fields]


def _build_view(one: TaskField, zone: tzinfo) -> FieldView:
    field = one.field
    type, default = field.field_type, field.default_value
    return FieldView(
        field,
        _input_name(field),
        "" if one.value is None else format_for_page(type, one.value),
        format_for_form(type, one.stored, zone),
        format_for_form(type, default, zone),
        "" if default is None else format_for_page(type, default),
        one.is_missing,
    )


def _input_name(field: CustomField) -> str:
    return f"{NAME_PREFIX}{field.id}"


def find_first_name(form: forms.Form) -> str:
    """Return the name of the first submitted field, or ""."""
    return next((name for name in form.values if name.startswith(NAME_PREFIX)), "")


def list_edited_fields(
    form: forms.Form, fields: Iterable[TaskField], zone: tzinfo
) -> list[EditedField]:
    """Return the current values of the submitted fields as the form shows them."""
    return [
        EditedField(
            _input_name(field),
            field.label,
            format_for_form(field.field_type, stored, zone),
            EDITED_KINDS.get(field.field_type, FieldKind.CHOICE),
            f"custom_field_values.{field.field_key}",
            is_user_label=True,
        )
        for field, stored in fields
        if _input_name(field) in form.values
    ]


def name_values(fields: Iterable[TaskField]) -> Mapping[str, Mapping[str, str]]:
    """Return the texts of values that a conflict shows, by the name of the input and the value."""
    booleans = {"true": _("Yes"), "false": _("No")}
    return {
        _input_name(one.field): {"": _("Not set")}
        | (booleans if one.field.field_type is FieldType.BOOLEAN else {})
        for one in fields
    }


def collect_values(
    form: forms.Form, fields: Iterable[TaskField], zone: tzinfo, untouched: Set[str] = frozenset()
) -> dict[str, object]:
    """Return the submitted values by key; None for a blank one.

    Those of `untouched` inputs are left out, except required ones without a value.
    """
    by_name = {_input_name(one.field): one for one in fields}
    return {
        one.field.field_key: parse_value(one.field.field_type, form.value(name), zone)
        for name, one in by_name.items()
        if name in form.values and (name not in untouched or one.is_missing)
    }


@contextmanager
def show_value_errors(form: forms.Form, fields: Sequence[TaskField]) -> Generator[None]:
    """Keep errors of values beside their fields. Use it within `Form.catch_errors`."""
    names = {one.field.field_key: _input_name(one.field) for one in fields}
    try:
        yield
    except Invalid as error:
        missing: Any = error.details.get("missing_field_keys", ())
        wrong = str(error.details.get("field_key", ""))
        form.errors |= {names[key]: _("Enter a value.") for key in missing if key in names}
        if wrong in names:
            form.errors[names[wrong]] = describe_error(error)
        if not missing and wrong not in names:
            raise
        raise Invalid("form_invalid", N_("Some fields are not valid.")) from error


async def create_task(
    session: Session, user: User, board: Board, fields: TaskCreate, form: forms.Form
) -> TaskDetail:
    """Create a task with the submitted values of custom fields, on a locked board."""
    zone = time_format.get_time_zone(user.timezone)
    task_fields = await custom_fields.list_task_fields(session, board)
    with show_value_errors(form, task_fields):
        values = collect_values(form, task_fields, zone)
        filled = fields.model_copy(update={"custom_field_values": values})
        return await tasks.create_task(session, user, board, filled)
