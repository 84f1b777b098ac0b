"""The list of custom fields, and the forms that change them. Only admins see these pages."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.db.reads import Source
from core.errors import Conflict, Invalid
from core.fields import MAX_NAME_LENGTH
from core.http.request import open_reader, open_transaction
from models import CustomField, FieldType, Member, Visibility
from services import custom_fields, organizations, pickers
from services.custom_fields import CustomFieldCreate, CustomFieldDetail, CustomFieldUpdate
from services.pickers import PickerKind, PickerPlace
from web.auth.viewer import current_member
from web.custom_fields.values import format_for_form, format_for_page, parse_value
from web.pickers import load_chosen, load_value_names
from web.tasks.edit_views import update_task_fields
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import EditedField, check_edit
from web.ui.flash_cookies import redirect_deleted
from web.ui.layout import load_layout
from web.ui.list_addresses import TableOrder
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import is_part_request, render_page, render_part
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


@dataclass(frozen=True)
class FieldLine:
    """A line of the list of fields."""

    field: CustomField
    type_name: str
    visibility_name: str
    default: str  # "" without one
    board_names: Sequence[str]  # of those that the member may read
    hidden_board_count: int


async def show_fields(request: Request) -> Response:
    """Show the custom fields of the organization; for htmx only the table."""
    member = current_member(request)
    organizations.require_admin(member)
    layout = None if is_part_request(request) else await load_layout(request)
    order = TableOrder.from_query("/fields", request.query_params, SORT_KEYS, {})
    async with open_reader(request) as source:
        details = await custom_fields.list_custom_fields(source, member)
        ids = list({str(id) for detail in details for id in detail.board_ids})
        found = await pickers.find_options(source, PickerPlace(member), PickerKind.BOARDS, ids)
        tab_counts = await organizations.count_sections(source, member)
    names = {UUID(id): option.name for id, option in found.items()}
    lines = order.sort_rows([_build_line(detail, names) for detail in details], SORT_KEYS)
    context: dict[str, Any] = {
        "page": order.cut_page(lines, forms.parse_offset(request.query_params)),
        "order": order,
        "tab_counts": tab_counts,
    }
    if layout is None:
        return render_part(request, "custom_fields/_table.html", apart=True, **context)
    return render_page(request, "custom_fields/index.html", layout=layout, **context)


def _build_line(detail: CustomFieldDetail, names: Mapping[UUID, str]) -> FieldLine:
    field = detail.field
    readable = [names[id] for id in detail.board_ids if id in names]
    value = field.default_value
    return FieldLine(
        field,
        translate(TYPE_NAMES[field.field_type]),
        _name_visibilities()[field.ui_visibility],
        "" if value is None else format_for_page(field.field_type, value),
        sorted(readable, key=str.lower),
        len(detail.board_ids) - len(readable),
    )


def _name_visibilities() -> dict[Visibility, str]:
    """Return the names of the visibilities in the reader's language."""
    return {
        Visibility.ALWAYS: pgettext("visibility of a field", "Always"),
        Visibility.IF_SET: pgettext("visibility of a field", "Only if set"),
        Visibility.HIDDEN: pgettext("visibility of a field", "Hidden"),
    }


async def show_new_field_form(request: Request) -> Response:
    """Show the form for a new custom field."""
    return await _render_new_form(request, forms.Form())


async def create_field(request: Request) -> Response:
    """Create a custom field, and redirect to the list."""
    form = await forms.read_form(request)
    member = current_member(request)
    with form.catch_errors():
        organizations.require_admin(member)
        fields = form.parse(
            CustomFieldCreate, {"field_key": _read_key(form), "default_value": _read_default(form)}
        )
        async with open_transaction(request) as session:
            await custom_fields.create_custom_field(session, member, fields)
        return RedirectResponse("/fields", 303)
    return await _render_new_form(request, form)


def _read_key(form: forms.Form) -> str:
    """Return the key of a new field; a blank one is derived from the label.

    The API accepts other keys. Raises Invalid if programs would have to quote the key, or if there
    is none.
    """
    label = form.value("label").strip()
    key = form.value("field_key").strip() or derive_key(label)
    if not (key or label):
        raise Invalid("field_required", N_("Enter a value."), field="label")
    if not key:
        reason = N_("This name has no letters from a to z, so write a key.")
        raise Invalid("field_key_missing", reason, field="field_key")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
        reason = N_("Use lower-case letters, digits and underscores, and begin with a letter.")
        raise Invalid("field_key_invalid", reason, field="field_key")
    return key


def derive_key(label: str) -> str:
    """Return the key for a label: "Effort points!" becomes `effort_points`."""
    ascii_text = unicodedata.normalize("NFKD", label.casefold()).encode("ascii", "ignore").decode()
    key = re.sub(r"^[\d_]+|_+$", "", re.sub(r"[^a-z0-9]+", "_", ascii_text))
    return key[:MAX_NAME_LENGTH]


def _read_default(form: forms.Form, type: str = "") -> Any:
    """Return the submitted default value, as a value of the submitted type, or else of `type`."""
    text, type = form.value("default_value"), form.value("field_type") or type
    return parse_value(FieldType(type), text) if type in {*FieldType} else text


async def show_edit_form(request: Request) -> Response:
    """Show the form that changes a custom field."""
    return await _render_edit_form(request, forms.Form())


async def update_field(request: Request) -> Response:
    """Change a custom field, and redirect to the list."""
    form, member = await forms.read_form(request), current_member(request)
    with form.catch_errors():
        organizations.require_admin(member)
        async with open_transaction(request) as session:
            field_id = forms.path_id(request, "field_id")
            field = await custom_fields.lock_custom_field(session, member, field_id)
            detail = await custom_fields.get_custom_field(session, member, field_id)
            readable, hidden = await _split_boards(session, member, detail)
            given: dict[str, Any] = {}
            if "label" in form.values:
                given["label"] = form.value("label").strip() or field.field_key
            if "default_value" in form.values:
                given["default_value"] = _read_default(form, field.field_type)
            if {"board_ids", "shown.board_ids"} & form.values.keys() or not hidden:
                given["board_ids"] = [*filter(None, form.selected("board_ids")), *hidden]
            else:
                given["board_ids"] = detail.board_ids
            fields = form.parse(CustomFieldUpdate, given)
            untouched = check_edit(form, _list_edited(field, readable))
            if "field_type" not in untouched:  # a default value is converted with the type
                untouched -= {"default_value"}
            fields = fields.without(untouched)
            if fields.model_fields_set:
                await custom_fields.update_custom_field(session, member, field, fields)
        return RedirectResponse("/fields", 303)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_edit_form(request, form)


def _list_edited(field: CustomField, readable_ids: Sequence[UUID]) -> list[EditedField]:
    default = format_for_form(field.field_type, field.default_value)
    values = {"default_value": default, "board_ids": readable_ids}
    return list_edited_fields(CustomFieldUpdate, field, values)


async def _split_boards(
    source: Source, member: Member, detail: CustomFieldDetail
) -> tuple[list[UUID], list[UUID]]:
    """Return the boards of a field that the member may read, and the others."""
    ids = [str(id) for id in detail.board_ids]
    found = await pickers.find_options(source, PickerPlace(member), PickerKind.BOARDS, ids)
    readable = [id for id in detail.board_ids if str(id) in found]
    return readable, [id for id in detail.board_ids if str(id) not in found]


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the properties that the user and somebody else have changed."""
    member, field_id = current_member(request), forms.path_id(request, "field_id")
    async with open_reader(request) as source:
        detail = await custom_fields.get_custom_field(source, member, field_id)
        field, ids = detail.field, [*form.selected("board_ids"), *detail.board_ids]
        board_names = await load_value_names(source, member, PickerKind.BOARDS, ids)
    options = _list_form_options()
    about = ConflictContext(
        title=field.label,
        back=request.url.path,
        organization_id=field.organization_id,
        object_id=field.id,
        names={
            "field_type": dict(options["type_options"]),
            "ui_visibility": dict(options["visibility_options"]),
            "board_ids": board_names,
        },
    )
    return await render_conflict(request, form, about)


async def delete_field(request: Request) -> Response:
    """Delete a custom field, and redirect to the list; one with values is shown again."""
    form = forms.Form()
    member = current_member(request)
    try:
        async with open_transaction(request) as session:
            field_id = forms.path_id(request, "field_id")
            field = await custom_fields.lock_custom_field(session, member, field_id)
            await custom_fields.delete_custom_field(session, member, field)
    except Conflict:
        form.status = 409
        return await _render_edit_form(request, form)
    return redirect_deleted(request, "/fields", field.label)


async def _render_new_form(request: Request, form: forms.Form) -> Response:
    organizations.require_admin(current_member(request))
    return await _render_form(request, "custom_fields/new.html", form)


async def _render_edit_form(request: Request, form: forms.Form) -> Response:
    member = current_member(request)
    async with open_reader(request) as source:
        field_id = forms.path_id(request, "field_id")
        detail = await custom_fields.get_custom_field(source, member, field_id)
        value_count = await custom_fields.count_field_values(source, detail.field)
    return await _render_form(
        request, "custom_fields/edit.html", form, detail, value_count=value_count
    )


async def _render_form(
    request: Request,
    template: str,
    form: forms.Form,
    detail: CustomFieldDetail | None = None,
    **more: Any,
) -> Response:
    layout, member = await load_layout(request), current_member(request)
    readable: list[UUID] = []
    hidden: list[UUID] = []
    async with open_reader(request) as source:
        if detail:
            readable, hidden = await _split_boards(source, member, detail)
        chosen = await load_chosen(source, member, PickerKind.BOARDS, "board_ids", form, readable)
    edited = _list_edited(detail.field, readable) if detail else []
    return render_page(
        request,
        template,
        layout=layout,
        status=form.status,
        form=form,
        field=detail.field if detail else None,
        fields=build_form_fields(form, CustomFieldCreate, edited),
        chosen_boards=chosen,
        shown={one.name: one.value for one in edited},
        hidden_board_count=len(hidden),
        **_list_form_options(),
        **more,
    )


def _list_form_options() -> dict[str, Any]:
    """Return the types and visibilities as options."""
    return {
        "type_options": [(type.value, translate(name)) for type, name in TYPE_NAMES.items()],
        "visibility_options": [(one.value, name) for one, name in _name_visibilities().items()],
    }


CUSTOM_FIELD_ROUTES: list[Route] = [
    Route("/fields", show_fields, name="fields"),
    Route("/fields", create_field, methods=["POST"]),
    Route("/fields/new", show_new_field_form),
    Route("/fields/{field_id:uuid}/edit", show_edit_form),
    Route("/fields/{field_id:uuid}/edit", update_field, methods=["POST"]),
    Route("/fields/{field_id:uuid}/deletions", delete_field, methods=["POST"]),
    Route("/fields/{field_id:uuid}/deletions", show_edit_form),
    Route(
        "/boards/{board_id:uuid}/tasks/{task_id:uuid}/fields",
        update_task_fields,
        methods=["POST"],
    ),
]
