"""Create, change and delete board groups."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.db.reads import Source
from core.errors import Invalid
from core.http.request import Session, open_reader, open_transaction
from models import BoardGroup
from services import boards, organizations
from services.boards import BoardGroupCreate, BoardGroupUpdate, GroupBoardChanges
from web.auth.viewer import current_member
from web.groups import conversation_views, presenter, views
from web.groups.forms import GroupBoardsForm
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import check_edit
from web.ui.flash_cookies import redirect_deleted
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import render_page
from web.ui.translation import _

GROUP_PATH = "/groups/{group_id:uuid}"


async def show_new_group_form(request: Request) -> Response:
    """Show the form for a new group."""
    return await _render_new_group_form(request, forms.Form())


async def create_group(request: Request) -> Response:
    """Create a group with its boards, and redirect to it."""
    form = await forms.read_form(request)
    member = current_member(request)
    with form.catch_errors():
        organizations.require_admin(member)
        fields = form.parse(BoardGroupCreate)
        async with open_transaction(request) as session:
            changes = await _lock_boards(request, session, form)
            group = await boards.create_group(session, member, fields)
            await boards.change_group_boards(session, request.user, group, changes)
        return RedirectResponse(f"/groups/{group.id}", 303)
    if form.error("slug"):
        form.errors["name"] = _("There is already a group with this name.")
    return await _render_new_group_form(request, form)


async def show_edit_form(request: Request) -> Response:
    """Show the form that changes a group."""
    return await _render_edit_form(request, forms.Form())


async def update_group(request: Request) -> Response:
    """Change a group and which boards belong to it; all changes, or none."""
    form = await forms.read_form(request)
    group_id = forms.path_id(request, "group_id")
    with form.catch_errors():
        fields = form.parse(BoardGroupUpdate)
        async with open_transaction(request) as session:
            changes = await _lock_boards(request, session, form)
            group = await boards.lock_group_as_admin(session, request.user, group_id)
            fields = fields.without(check_edit(form, list_edited_fields(BoardGroupUpdate, group)))
            await boards.update_group(session, request.user, group, fields)
            await boards.change_group_boards(session, request.user, group, changes)
        return RedirectResponse(f"/groups/{group_id}", 303)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_edit_form(request, form)


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the fields that the user and somebody else have changed."""
    async with open_reader(request) as source:
        group = await _get_managed_group(request, source)
    about = ConflictContext(
        title=group.name,
        back=f"/groups/{group.id}/edit",
        organization_id=group.organization_id,
        object_id=group.id,
        suggest=f"group={group.id}",
    )
    return await render_conflict(request, form, about)


async def delete_group(request: Request) -> Response:
    """Delete a group, and redirect to the list."""
    async with open_transaction(request) as session:
        group_id = forms.path_id(request, "group_id")
        group = await boards.delete_group(session, request.user, group_id)
    return redirect_deleted(request, "/groups", group.name)


async def _lock_boards(request: Request, session: Session, form: forms.Form) -> GroupBoardChanges:
    """Lock the boards that join or leave. Raises Invalid, and keeps the error of each board."""
    given = form.parse(GroupBoardsForm)
    try:
        return await boards.lock_group_boards(
            session, current_member(request), joining=given.joining, leaving=given.leaving
        )
    except Invalid as error:
        failures: Any = error.details["boards"]
        form.errors["board_ids"] = _("Nothing was saved, because some boards cannot be changed.")
        for board_id, reason in failures.items():
            form.errors[f"board-{board_id}"] = presenter.describe_board_error(reason)
        raise


async def _render_new_group_form(request: Request, form: forms.Form) -> Response:
    organizations.require_admin(current_member(request))
    return await _render_form(request, form)


async def _render_edit_form(request: Request, form: forms.Form) -> Response:
    async with open_reader(request) as source:
        group = await _get_managed_group(request, source)
    return await _render_form(request, form, group)


async def _render_form(
    request: Request, form: forms.Form, group: BoardGroup | None = None
) -> Response:
    """Render the form of a group, or without one that of a new group."""
    layout = await load_layout(request)
    async with open_reader(request) as source:
        summaries = await boards.list_board_summaries(source, current_member(request))
    choices = presenter.build_board_choices(summaries, group)
    edited = list_edited_fields(BoardGroupUpdate, group) if group else []
    return render_page(
        request,
        "groups/edit.html" if group else "groups/new.html",
        layout=layout,
        status=form.status,
        form=form,
        group=group,
        fields=build_form_fields(form, BoardGroupCreate, edited),
        shown={one.name: one.value for one in edited},
        choices=choices,
        chosen_ids=[str(one.board.id) for one in choices if one.is_member and one.can_write],
    )


async def _get_managed_group(request: Request, source: Source) -> BoardGroup:
    """Return the group of the path if the member may change it. Raises NotFound or Forbidden."""
    group_id = forms.path_id(request, "group_id")
    return await boards.get_group_as_admin(source, request.user, group_id)


GROUP_ROUTES: list[Route] = [
    Route("/groups", views.show_groups, name="groups"),
    Route("/groups", create_group, methods=["POST"]),
    Route("/groups/new", show_new_group_form),
    *[
        Route(f"{GROUP_PATH}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", views.show_group),
            ("/agents", "GET", views.show_group_agents),
            ("/heartbeats", "POST", views.set_heartbeat_interval),
            ("/heartbeats", "GET", views.show_group),
            ("/chat", "GET", conversation_views.show_chat),
            ("/chat", "POST", conversation_views.post_message),
            ("/edit", "GET", show_edit_form),
            ("/edit", "POST", update_group),
            ("/deletions", "POST", delete_group),
            ("/deletions", "GET", show_edit_form),
        ]
    ],
]
"""The pages of board groups, for members.

Who may read or change a group is decided by `services.boards.groups`: a user who may read or
change one of its boards may do the same with the group; only admins change its name, boards and the
heartbeat interval of its agents.
"""
