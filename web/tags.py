"""The list of tags, the tasks of a tag, and the forms that change it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.http.request import open_reader, open_transaction
from services import organizations, tags
from services.tags import CountedTag, TagCreate, TagUpdate
from web.auth.viewer import current_member
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import check_edit
from web.ui.flash_cookies import redirect_deleted
from web.ui.layout import load_layout
from web.ui.list_addresses import TableOrder
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import is_part_request, render_page, render_part

SORT_KEYS = {
    "name": lambda one: (one.tag.name.lower(), one.tag.id),
    "slug": lambda one: one.tag.slug,
    "tasks": lambda one: (one.task_count, one.tag.name.lower(), one.tag.id),
    "updated": lambda one: one.tag.updated_at,
}
"""Sort keys by column."""


async def show_tags(request: Request) -> Response:
    """Show the tags of the organization; for htmx only the table."""
    layout = None if is_part_request(request) else await load_layout(request)
    member, query = current_member(request), request.query_params
    text = forms.parse_search(query)
    order = TableOrder.from_query("/tags", query, SORT_KEYS, {"q": text})
    async with open_reader(request) as source:
        found = await tags.find_tags(source, member, text)
        tab_counts = await organizations.count_sections(source, member)
    rows = order.sort_rows(found, SORT_KEYS)
    context: dict[str, Any] = {
        "page": order.cut_page(rows, forms.parse_offset(query)),
        "order": order,
        "search": text,
        "tab_counts": tab_counts,
        "is_admin": member.is_admin,
    }
    if layout is None:
        return render_part(request, "tags/_table.html", apart=True, **context)
    return render_page(request, "tags/index.html", layout=layout, **context)


async def show_tag(request: Request) -> Response:
    """Show the boards with tasks that have a tag."""
    layout = await load_layout(request)
    member = current_member(request)
    async with open_reader(request) as source:
        counted = await tags.get_tag(source, member, forms.path_id(request, "tag_id"))
        found = await tags.list_tagged_boards(source, member, counted.tag)
    return render_page(
        request,
        "tags/show.html",
        layout=layout,
        tag=counted.tag,
        boards=found,
        hidden_count=counted.task_count - sum(one.task_count for one in found),
    )


async def show_new_tag_form(request: Request) -> Response:
    """Show the form for a new tag."""
    return await _render_form(request, forms.Form())


async def create_tag(request: Request) -> Response:
    """Create a tag, and redirect to the list."""
    form, member = await forms.read_form(request), current_member(request)
    with form.catch_errors():
        organizations.require_admin(member)
        fields = form.parse(TagCreate)
        async with open_transaction(request) as session:
            await tags.create_tag(session, member, fields)
        return RedirectResponse("/tags", 303)
    return await _render_form(request, form)


async def show_edit_form(request: Request) -> Response:
    """Show the form that changes a tag."""
    return await _render_form(request, forms.Form(), await _load_tag(request))


async def update_tag(request: Request) -> Response:
    """Change a tag, and redirect to the list."""
    form, member = await forms.read_form(request), current_member(request)
    with form.catch_errors():
        organizations.require_admin(member)
        fields = form.parse(TagUpdate)
        async with open_transaction(request) as session:
            tag = (await tags.lock_tag(session, member, forms.path_id(request, "tag_id"))).tag
            fields = fields.without(check_edit(form, list_edited_fields(TagUpdate, tag)))
            if fields.model_fields_set:
                await tags.update_tag(session, member, tag, fields)
        return RedirectResponse("/tags", 303)
    counted = await _load_tag(request)
    if form.conflicts:
        tag, back = counted.tag, request.url.path
        about = ConflictContext(tag.name, back, "", tag.organization_id, tag.id)
        return await render_conflict(request, form, about)
    return await _render_form(request, form, counted)


async def delete_tag(request: Request) -> Response:
    """Delete a tag, and redirect to the list."""
    member = current_member(request)
    async with open_transaction(request) as session:
        locked = await tags.lock_tag(session, member, forms.path_id(request, "tag_id"))
        await tags.delete_tag(session, member, locked.tag)
    return redirect_deleted(request, "/tags", locked.tag.name)


async def _load_tag(request: Request) -> CountedTag:
    async with open_reader(request) as source:
        tag_id = forms.path_id(request, "tag_id")
        return await tags.get_tag(source, current_member(request), tag_id)


async def _render_form(
    request: Request, form: forms.Form, counted: CountedTag | None = None
) -> Response:
    """Render the form of a tag, or without one that of a new tag."""
    organizations.require_admin(current_member(request))
    edited = list_edited_fields(TagUpdate, counted.tag) if counted else []
    return render_page(
        request,
        "tags/edit.html" if counted else "tags/new.html",
        layout=await load_layout(request),
        status=form.status,
        form=form,
        fields=build_form_fields(form, TagCreate, edited),
        shown={one.name: one.value for one in edited},
        tag=counted.tag if counted else None,
        task_count=counted.task_count if counted else 0,
    )


TAG_ROUTES: list[Route] = [
    Route("/tags", show_tags, name="tags"),
    Route("/tags", create_tag, methods=["POST"]),
    Route("/tags/new", show_new_tag_form),
    Route("/tags/{tag_id:uuid}", show_tag),
    Route("/tags/{tag_id:uuid}/edit", show_edit_form),
    Route("/tags/{tag_id:uuid}/edit", update_tag, methods=["POST"]),
    Route("/tags/{tag_id:uuid}/deletions", delete_tag, methods=["POST"]),
    Route("/tags/{tag_id:uuid}/deletions", show_edit_form),
]
"""The pages of tags. Members read them, admins change them (`services.tags`)."""
