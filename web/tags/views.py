"""The list of tags, the tasks of a tag, and the forms that change it."""

from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.http.request import open_reader, open_transaction
from core.text import is_storable
from models import Tag
from services import organizations, tags
from services.tags import CountedTag, TagDraft
from web.auth.viewer import current_member
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import EditedField, FieldKind, check_edit, without
from web.ui.flash_cookies import redirect_deleted
from web.ui.layout import load_layout
from web.ui.list_addresses import TableOrder
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import N_

SORT_KEYS = {
    "name": lambda one: (one.tag.name.lower(), one.tag.id),
    "slug": lambda one: one.tag.slug,
    "tasks": lambda one: (one.task_count, one.tag.name.lower(), one.tag.id),
    "updated": lambda one: one.tag.updated_at,
}
"""Sort keys by column."""


class TagForm(BaseModel):
    """A tag. A blank slug is derived from the name."""

    name: forms.Line
    slug: forms.OptionalLine = None
    color: forms.Line = tags.DEFAULT_COLOR
    description: forms.OptionalText = None


def list_edited_fields(tag: Tag) -> list[EditedField]:
    """Return the current values of a tag as its form shows them."""
    return [
        EditedField("name", N_("Name"), tag.name, FieldKind.LINE),
        EditedField("slug", N_("Slug"), tag.slug, FieldKind.LINE),
        EditedField("color", N_("Colour"), tag.color),
        EditedField("description", N_("Description"), tag.description, FieldKind.TEXT),
    ]


async def show_tags(request: Request) -> Response:
    """Show the tags of the organization; for htmx only the table."""
    layout = None if is_part_request(request) else await load_layout(request)
    text = request.query_params.get("q", "").strip()[:200]
    text = text if is_storable(text) else ""
    order = TableOrder.from_query("/tags", request.query_params, SORT_KEYS, {"q": text})
    async with open_reader(request) as source:
        found = await tags.find_tags(source, current_member(request), text)
        tab_counts = await organizations.count_sections(source, current_member(request))
    context: dict[str, Any] = {
        "page": order.cut_page(
            order.sort_rows(found, SORT_KEYS), forms.parse_offset(request.query_params)
        ),
        "order": order,
        "search": text,
        "tab_counts": tab_counts,
        "is_admin": current_member(request).is_admin,
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
    form = await forms.read_form(request)
    with form.catch_errors():
        organizations.require_admin(current_member(request))
        draft = TagDraft(**dict(form.parse(TagForm)))
        async with open_transaction(request) as session:
            await tags.create_tag(session, current_member(request), draft)
        return RedirectResponse("/tags", 303)
    return await _render_form(request, form)


async def show_edit_form(request: Request) -> Response:
    """Show the form that changes a tag."""
    return await _render_form(request, forms.Form(), await _load_tag(request))


async def update_tag(request: Request) -> Response:
    """Change a tag, and redirect to the list."""
    form = await forms.read_form(request)
    member = current_member(request)
    with form.catch_errors():
        organizations.require_admin(member)
        changes = dict(form.parse(TagForm))
        async with open_transaction(request) as session:
            tag_id = forms.path_id(request, "tag_id")
            locked = await tags.lock_tag(session, member, tag_id)
            changes = without(changes, check_edit(form, list_edited_fields(locked.tag)))
            if changes:
                await tags.update_tag(session, member, locked.tag, changes)
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
    layout = await load_layout(request)
    return render_page(
        request,
        "tags/edit.html" if counted else "tags/new.html",
        layout=layout,
        status=form.status,
        form=form,
        tag=counted.tag if counted else None,
        shown={one.name: one.value for one in list_edited_fields(counted.tag)} if counted else {},
        task_count=counted.task_count if counted else 0,
        default_color=tags.DEFAULT_COLOR,
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
