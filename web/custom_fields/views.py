"""The list of custom fields, and the forms that change them. Only admins see these pages."""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.db.reads import Source
from core.errors import Conflict
from core.http.request import open_reader, open_transaction
from models import Member
from services import custom_fields, organizations
from services.custom_fields import CustomFieldDetail
from web.auth.viewer import current_member
from web.custom_fields import presenter
from web.custom_fields.forms import CustomFieldForm, NewCustomFieldForm, list_edited_fields
from web.custom_fields.task_views import TASK_FIELD_ROUTES
from web.custom_fields.values import format_for_form
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import check_edit
from web.ui.flash_cookies import redirect_deleted
from web.ui.layout import load_layout
from web.ui.list_addresses import TableOrder
from web.ui.render import is_part_request, render_page, render_part


async def show_fields(request: Request) -> Response:
    """Show the custom fields of the organization; for htmx only the table."""
    member = current_member(request)
    organizations.require_admin(member)
    layout = None if is_part_request(request) else await load_layout(request)
    order = TableOrder.from_query("/fields", request.query_params, presenter.SORT_KEYS, {})
    async with open_reader(request) as source:
        details = await custom_fields.list_custom_fields(source, member)
        choices = await presenter.list_board_choices(source, member)
        tab_counts = await organizations.count_sections(source, member)
    lines = order.sort_rows(presenter.build_field_lines(details, choices), presenter.SORT_KEYS)
    context: dict[str, Any] = {
        "page": order.cut_page(lines, forms.parse_offset(request.query_params)),
        "order": order,
        "tab_counts": tab_counts,
    }
    if layout is None:
        return render_part(request, "custom_fields/_table.html", apart=True, **context)
    return render_page(request, "custom_fields/index.html", layout=layout, **context)


async def show_new_field_form(request: Request) -> Response:
    """Show the form for a new custom field."""
    return await _render_new_form(request, forms.Form())


async def create_field(request: Request) -> Response:
    """Create a custom field, and redirect to the list."""
    form = await forms.read_form(request)
    member = current_member(request)
    with form.catch_errors():
        organizations.require_admin(member)
        draft = form.parse(NewCustomFieldForm).to_draft()
        async with open_transaction(request) as session:
            await custom_fields.create_custom_field(session, member, draft)
        return RedirectResponse("/fields", 303)
    return await _render_new_form(request, form)


async def show_edit_form(request: Request) -> Response:
    """Show the form that changes a custom field."""
    return await _render_edit_form(request, forms.Form())


async def update_field(request: Request) -> Response:
    """Change a custom field, and redirect to the list."""
    form = await forms.read_form(request)
    member = current_member(request)
    with form.catch_errors():
        organizations.require_admin(member)
        fields = form.parse(CustomFieldForm)
        async with open_transaction(request) as session:
            field_id = forms.path_id(request, "field_id")
            field = await custom_fields.lock_custom_field(session, member, field_id)
            detail = await custom_fields.get_custom_field(session, member, field_id)
            readable, hidden = await _split_boards(session, member, detail)
            untouched = check_edit(form, list_edited_fields(field, readable))
            if changes := fields.to_changes(field, untouched, hidden):
                await custom_fields.update_custom_field(session, member, field, changes)
        return RedirectResponse("/fields", 303)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_edit_form(request, form)


async def _split_boards(
    source: Source, member: Member, detail: CustomFieldDetail
) -> tuple[list[UUID], list[UUID]]:
    """Return the boards of a field that the member may read, and the others."""
    choices = {one.id for one in await presenter.list_board_choices(source, member)}
    readable = [id for id in detail.board_ids if id in choices]
    return readable, [id for id in detail.board_ids if id not in choices]


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the properties that the user and somebody else have changed."""
    member, field_id = current_member(request), forms.path_id(request, "field_id")
    async with open_reader(request) as source:
        field = (await custom_fields.get_custom_field(source, member, field_id)).field
        choices = await presenter.list_board_choices(source, member)
    options = presenter.list_form_options()
    about = ConflictContext(
        title=field.label,
        back=request.url.path,
        organization_id=field.organization_id,
        object_id=field.id,
        names={
            "field_type": dict(options["type_options"]),
            "ui_visibility": dict(options["visibility_options"]),
            "board_ids": {str(one.id): one.name for one in choices},
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
    if form.code == "default_value_invalid":  # it names no field
        form.errors["default_value"], form.problem = form.problem, ""
    layout = await load_layout(request)
    async with open_reader(request) as source:
        choices = await presenter.list_board_choices(source, current_member(request))
    field = detail.field if detail else None
    bound = set(detail.board_ids) if detail else set[UUID]()
    chosen = [one.id for one in choices if one.id in bound]
    return render_page(
        request,
        template,
        layout=layout,
        status=form.status,
        form=form,
        field=field,
        default_text=format_for_form(field.field_type, field.default_value) if field else "",
        choices=choices,
        chosen_ids=[str(id) for id in chosen],
        shown={one.name: one.value for one in list_edited_fields(field, chosen)} if field else {},
        hidden_board_count=len(bound) - len(chosen),
        **presenter.list_form_options(),
        **more,
    )


CUSTOM_FIELD_ROUTES: list[Route] = [
    Route("/fields", show_fields, name="fields"),
    Route("/fields", create_field, methods=["POST"]),
    Route("/fields/new", show_new_field_form),
    Route("/fields/{field_id:uuid}/edit", show_edit_form),
    Route("/fields/{field_id:uuid}/edit", update_field, methods=["POST"]),
    Route("/fields/{field_id:uuid}/deletions", delete_field, methods=["POST"]),
    Route("/fields/{field_id:uuid}/deletions", show_edit_form),
    *TASK_FIELD_ROUTES,
]
