"""Board groups: their list, the page and the chat of a group, and the forms that change them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.db.reads import Source
from core.errors import Invalid
from core.fields import BlankToNone
from core.http.request import Session, get_settings, open_reader, open_transaction
from core.paging import Paging
from models import Board, BoardGroup
from services import agents, boards, memory, organizations, pickers, snapshots
from services.boards import BoardGroupCreate, BoardGroupUpdate, GroupBoardChanges
from services.memory import NoteCreate
from services.pickers import PickerKind, PickerPlace
from web.auth.viewer import current_member
from web.groups import presenter
from web.groups.presenter import GroupView
from web.notes.note_pages import NOTES_PER_PAGE, load_authors, load_note_page
from web.notes.views import mark_notes_read
from web.pickers import load_chosen
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import check_edit
from web.ui.flash_cookies import redirect_deleted
from web.ui.formatted_texts import format_texts
from web.ui.layout import load_layout
from web.ui.locale_format import describe_error
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import is_part_request, render_page, render_part, retarget
from web.ui.translation import N_, _, translate

COUNT_PARAMETER = "updated"  # number of agents whose interval was set
UNITS = {"s": N_("seconds"), "m": N_("minutes"), "h": N_("hours")}


class GroupBoardsForm(BaseModel):
    """The boards of a group."""

    board_ids: list[UUID] = []
    shown_board_ids: list[UUID] = []  # the boards of the group when the form was shown

    @property
    def joining(self) -> set[UUID]:
        """The boards that the user has added."""
        return set(self.board_ids) - set(self.shown_board_ids)

    @property
    def leaving(self) -> set[UUID]:
        """The boards that the user has removed. Boards that others added meanwhile stay."""
        return set(self.shown_board_ids) - set(self.board_ids)


class GroupHeartbeatForm(BaseModel):
    """The heartbeat interval of the agents of a group: a preset, or a number and a unit."""

    interval: Literal["30s", "1m", "2m", "5m", "10m", "30m", "1h", "other"]
    number: Annotated[int | None, Field(ge=1, le=999), BlankToNone] = None
    unit: Literal["s", "m", "h"] = "m"
    include_board_leads: forms.Switch = False

    def to_interval(self) -> str:
        """Return the interval as the API writes it. Raises Invalid."""
        if self.interval != presenter.OTHER:
            return self.interval
        if self.number is None:
            raise Invalid("interval_missing", N_("Enter a value."), field="number")
        return f"{self.number}{self.unit}"


async def show_groups(request: Request) -> Response:
    """Show all groups that the member can read; for htmx only the list."""
    is_part = is_part_request(request)
    layout = None if is_part else await load_layout(request)
    async with open_reader(request) as source:
        lines = await presenter.list_group_lines(source, current_member(request))
    if is_part:
        return render_part(request, "groups/_table.html", lines=lines, apart=True)
    return render_page(request, "groups/index.html", layout=layout, lines=lines)


async def show_group(request: Request) -> Response:
    """Show the boards of a group and the heartbeats of its agents; for htmx only the boards."""
    if not is_part_request(request):
        return await _render_group(request, forms.Form())
    async with open_reader(request) as source:
        context = await _load_boards(request, source)
    return render_part(request, "groups/_boards.html", **context)


async def show_group_agents(request: Request) -> Response:
    """Show the agents of a group with their heartbeat intervals."""
    async with open_reader(request) as source:
        context = await _load_boards(request, source, GroupView(task_limit=0))
        context |= await _load_agents(source, context)
    return render_part(request, "groups/_agents.html", **context)


async def set_heartbeat_interval(request: Request) -> Response:
    """Set the heartbeat interval of the agents of a group."""
    form = await forms.read_form(request)
    group_id = forms.path_id(request, "group_id")
    with form.catch_errors():
        fields = form.parse(GroupHeartbeatForm)
        every = fields.to_interval()
        async with open_transaction(request) as session:
            locked = await boards.lock_group_agents_as_manager(session, request.user, group_id)
            updated = await agents.set_group_heartbeat_interval(
                session,
                request.user,
                locked,
                every=every,
                include_board_leads=fields.include_board_leads,
            )
        return RedirectResponse(
            f"/groups/{group_id}?{COUNT_PARAMETER}={len(updated)}#heartbeat", 303
        )
    return await _render_group(request, form)


async def _render_group(request: Request, form: forms.Form) -> Response:
    """Render the page of a group with the form of the heartbeat interval."""
    layout = await load_layout(request)
    async with open_reader(request) as source:
        context = await _load_boards(request, source)
        context |= await _load_agents(source, context)
    updated = request.query_params.get(COUNT_PARAMETER)
    return render_page(
        request,
        "groups/show.html",
        layout=layout,
        status=form.status,
        form=form,
        interval_options=presenter.list_interval_options(),
        unit_options=[(value, translate(words)) for value, words in UNITS.items()],
        updated_count=None if updated is None else forms.parse_number(updated),
        **context,
    )


async def _load_boards(
    request: Request, source: Source, view: GroupView | None = None
) -> dict[str, Any]:
    """Load the group of the path with its boards. Raises NotFound or Forbidden."""
    view = view or GroupView.from_query(request.query_params)
    group_id = forms.path_id(request, "group_id")
    access = await boards.get_group_permissions(source, request.user, group_id)
    snapshot = await snapshots.load_group_snapshot(
        source,
        request.user,
        group_id,
        include_done=view.include_done,
        per_board_task_limit=view.task_limit,
    )
    return {
        "group": access.group,
        "can_manage": access.is_admin and access.can_write,
        "snapshot": snapshot,
        "view": view,
        "task_limits": presenter.TASK_LIMITS,
    }


async def _load_agents(source: Source, context: dict[str, Any]) -> dict[str, Any]:
    """Load the agents of the boards of a group."""
    shown = [one.board for one in context["snapshot"].boards]
    found = await agents.list_agents_of_boards(source, shown)
    return {
        "agents_by_board": presenter.group_agents_by_board(shown, found),
        "common_interval": presenter.find_common_interval(found),
        "describe_interval": presenter.describe_interval,
    }


async def show_chat(request: Request) -> Response:
    """Show the chat of a group; for htmx only the messages."""
    if not is_part_request(request):
        return await _render_chat(request, forms.Form())
    context = await _load_messages(request)
    await mark_notes_read(request, context["notes"])
    return render_part(request, "groups/_messages.html", **context)


async def post_message(request: Request) -> Response:
    """Post a message; for htmx return the messages, or the form with its errors."""
    form = await forms.read_form(request)
    group_id = forms.path_id(request, "group_id")
    with form.catch_errors(beside="content"):
        tags = [memory.CHAT_TAG, *([memory.BROADCAST_TAG] if form.is_on("broadcast") else [])]
        fields = form.parse(NoteCreate, {"tags": tags})
        async with open_transaction(request) as session:
            group = await boards.lock_group(session, request.user, group_id)
            scope = memory.group_scope(group)
            base_url = get_settings(request).base_url
            await memory.create_note(session, request.user, scope, fields, base_url=base_url)
        if is_part_request(request):
            return await show_chat(request)
        return RedirectResponse(f"{request.url.path}#say", 303)
    return await _render_chat(request, form)


async def _render_chat(request: Request, form: forms.Form) -> Response:
    """Render the page; for htmx only the form with its errors."""
    context = await _load_messages(request)
    if is_part_request(request):
        response = render_part(request, "groups/_composer.html", form.status, form=form, **context)
        retarget(response, "#say")
        return response
    await mark_notes_read(request, context["notes"])
    layout = await load_layout(request)
    return render_page(
        request, "groups/chat.html", layout=layout, status=form.status, form=form, **context
    )


async def _load_messages(request: Request) -> dict[str, Any]:
    """Load a page of messages, newest first, and the agents of the group's boards.

    Raises NotFound or Forbidden.
    """
    group_id = forms.path_id(request, "group_id")
    async with open_reader(request) as source:
        access = await boards.get_group_permissions(source, request.user, group_id)
        scope = memory.group_scope(access.group)
        page = await load_note_page(source, scope, request.query_params, is_chat=True)
        member = current_member(request)
        group_boards = await boards.list_boards_of_group(source, member, group_id)
        authors = await load_authors(source, page.notes, group_boards)
    return {
        "group": access.group,
        "can_write": access.can_write,
        "can_manage": access.is_admin and access.can_write,
        "notes": page.notes,
        "formatted": await format_texts(one.note.content for one in page.notes.items),
        "page_query": page.position.query,
        "agents_by_id": authors,
        "board_names": {board.id: board.name for board in group_boards},
        "page_size": NOTES_PER_PAGE,
    }


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
    if not form.conflicts:
        return await _render_edit_form(request, form)
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
    board_ids = [id for id in form.selected("board_ids") if id]
    given = form.parse(GroupBoardsForm, {"board_ids": board_ids})
    try:
        return await boards.lock_group_boards(
            session, current_member(request), joining=given.joining, leaving=given.leaving
        )
    except Invalid as error:
        failures: Any = error.details["boards"]
        form.errors["board_ids"] = _("Nothing was saved, because some boards cannot be changed.")
        for board_id, reason in failures.items():
            form.errors[f"board-{board_id}"] = describe_error(reason)
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
    layout, member = await load_layout(request), current_member(request)
    async with open_reader(request) as source:
        of_group: Sequence[Board] = ()
        if group:
            paging = Paging()
            found = await boards.list_boards(source, member, paging, board_group_id=group.id)
            of_group = found.items
        kind, ids = PickerKind.CHANGEABLE_BOARDS, [str(board.id) for board in of_group]
        changeable = await pickers.find_options(source, PickerPlace(member), kind, ids)
        chosen = await load_chosen(source, member, kind, "board_ids", form, list(changeable))
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
        chosen_boards=chosen,
        chosen_ids=list(changeable),
        fixed_boards=[board for board in of_group if str(board.id) not in changeable],
    )


async def _get_managed_group(request: Request, source: Source) -> BoardGroup:
    """Return the group of the path if the member may change it. Raises NotFound or Forbidden."""
    group_id = forms.path_id(request, "group_id")
    return await boards.get_group_as_admin(source, request.user, group_id)


GROUP_PATH = "/groups/{group_id:uuid}"

GROUP_ROUTES: list[Route] = [
    Route("/groups", show_groups, name="groups"),
    Route("/groups", create_group, methods=["POST"]),
    Route("/groups/new", show_new_group_form),
    *[
        Route(f"{GROUP_PATH}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", show_group),
            ("/agents", "GET", show_group_agents),
            ("/heartbeats", "POST", set_heartbeat_interval),
            ("/heartbeats", "GET", show_group),
            ("/chat", "GET", show_chat),
            ("/chat", "POST", post_message),
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
