"""Forms of objects whose fields are declared once (`core.fields`).

A view that changes an object reads like any other, and names no field:

    fields = form.parse(TagUpdate)
    async with open_transaction(request) as session:
        tag = (await tags.lock_tag(session, member, tag_id)).tag
        fields = fields.without(check_edit(form, list_edited_fields(TagUpdate, tag)))
        if fields.model_fields_set:
            await tags.update_tag(session, member, tag, fields)

and passes `fields=build_form_fields(form, TagCreate, edited)` to its template, where the macros of
`templates/macros/forms.html` take label, value, error and limit from a field:

    {{ forms.line(fields.name, autocomplete='off') }}
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from core.fields import Fields, accepts_none, find_max_length, list_labels
from web.ui.edited_fields import EditedField
from web.ui.forms import Form, is_list
from web.ui.translation import translate


class FormField(NamedTuple):
    """A field of a form as templates show it."""

    name: str
    label: str
    value: Any  # a text, a list of texts, or whether a switch is on
    error: str
    is_required: bool
    is_optional: bool  # can be null
    max_length: int | None


def list_edited_fields(
    fields: type[Fields], row: object, values: Mapping[str, Any] = MappingProxyType({})
) -> list[EditedField]:
    """Return the fields of a form with their current values: of the row, or those in `values`."""
    return [
        EditedField(
            name, label.text, values[name] if name in values else getattr(row, name), label.kind
        )
        for name, label in list_labels(fields).items()
    ]


def build_form_fields(
    form: Form, fields: type[Fields], edited: Sequence[EditedField] = ()
) -> dict[str, FormField]:
    """Return the fields of a form with what was submitted, or else the current values."""
    current = {one.name: one.value for one in edited}
    found: dict[str, FormField] = {}
    for name, label in list_labels(fields).items():
        field = fields.model_fields[name]
        before: Any = current.get(name, None if field.is_required() else field.default)
        value: Any
        if field.annotation is bool:
            value = form.is_on(name, bool(before))
        elif is_list(field):
            value = form.selected(name, [str(one) for one in before or ()])
        else:
            value = form.value(name, before)
        found[name] = FormField(
            name,
            translate(label.text),
            value,
            form.error(name),
            field.is_required(),
            accepts_none(field),
            find_max_length(field),
        )
    return found
