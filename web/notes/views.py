"""The notes of a board or a group: show, add, change and delete them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.db.reads import Source
from core.errors import Forbidden
from core.http.request import Session, get_settings, open_reader, open_transaction
from core.paging import Page
from models import Board, GroupNote, Note
from services import boards, memory
from services.memory import MemoryScope, NoteCreate, NoteDetail, NoteUpdate
from services.notifications import OpenedPage
from web.auth.viewer import current_member
from web.boards import presenter
from web.boards.views import board_access, board_for_update
from web.notes.note_pages import NOTES_PER_PAGE, load_authors, load_note_page
from web.notifications.views import mark_page_read
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import EditedField, check_edit
from web.ui.flash_cookies import redirect_with_notice
from web.ui.formatted_texts import format_texts
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import is_part_request, render_page, render_part, retarget
from web.ui.translation import N_, _

SEPARATOR = ","  # of tags

NOTE_PATHS = {
    "/boards/{board_id:uuid}/notes": "/{note_id:uuid}",
    "/groups/{group_id:uuid}/notes": "/{group_note_id:uuid}",
}


@dataclass(frozen=True)
class NoteOwner:
    """A board or a group with notes. `path` is the address of its notes."""

    path: str
    name: str
    scope: MemoryScope
    can_write: bool
    template: str
    boards: Sequence[Board]  # of whose agents the page shows the icons
    context: Mapping[str, Any]  # what the template of the page needs further


async def show_notes(request: Request) -> Response:
    """Show the notes; for htmx only their list."""
    if not is_part_request(request):
        return await _render_notes(request, forms.Form())
    context = await _load_notes(request)
    await mark_notes_read(request, context["notes"])
    return render_part(request, "notes/_list.html", **context)


async def add_note(request: Request) -> Response:
    """Add a note; for htmx return the list, or the form with its errors."""
    form = await forms.read_form(request)
    with form.catch_errors(beside="content"):
        tags = [memory.BROADCAST_TAG] if form.is_on("broadcast") else None
        fields = form.parse(NoteCreate, {"tags": tags})
        async with open_transaction(request) as session:
            scope = await lock_scope(request, session)
            base_url = get_settings(request).base_url
            await memory.create_note(session, request.user, scope, fields, base_url=base_url)
        if is_part_request(request):
            return await show_notes(request)
        return RedirectResponse(f"{request.url.path}#say", 303)
    return await _render_notes(request, form)


async def _render_notes(request: Request, form: forms.Form) -> Response:
    """Render the page; for htmx only the form with its errors."""
    context = await _load_notes(request)
    context["form"] = form
    if is_part_request(request):
        response = render_part(request, "notes/_composer.html", form.status, **context)
        retarget(response, "#say")
        return response
    await mark_notes_read(request, context["notes"])
    layout, template = await load_layout(request), context["owner"].template
    return render_page(request, template, layout=layout, status=form.status, **context)


async def _load_notes(request: Request) -> dict[str, Any]:
    """Load a page of notes, newest first, and the agents that wrote them."""
    async with open_reader(request) as source:
        owner = await load_owner(request, source)
        page = await load_note_page(source, owner.scope, request.query_params, is_chat=False)
        authors = await load_authors(source, page.notes, owner.boards)
    return {
        "owner": owner,
        "notes": page.notes,
        "is_payload": is_payload,
        "formatted": await format_texts(
            one.note.content for one in page.notes.items if not is_payload(one)
        ),
        "page_query": page.position.query,
        "agents_by_id": authors,
        "is_group": is_in_group(request),
        "page_size": NOTES_PER_PAGE,
        "at": owner.path,
        **owner.context,
    }


def is_payload(one: NoteDetail) -> bool:
    """Return whether a note is the payload of a webhook, which is shown as it is."""
    return one.note.source == "webhook" and not one.author_name


def is_in_group(request: Request) -> bool:
    """Return whether the address is that of a group."""
    return "group_id" in request.path_params


async def mark_notes_read(
    request: Request, notes: Page[NoteDetail], chat_board: Board | None = None
) -> None:
    """Mark the notifications about the notes or chat messages that a page shows as read.

    The newest messages of the chat of a board are also about the questions of its agents.
    """
    opened = OpenedPage(note_ids=[one.note.id for one in notes.items])
    if chat_board and not notes.offset:
        opened = opened._replace(chat_board_id=chat_board.id)
    await mark_page_read(request, opened)


async def load_owner(request: Request, source: Source) -> NoteOwner:
    """Load the board or group of the path. Raises NotFound or Forbidden."""
    load = _load_group if is_in_group(request) else _load_board
    return await load(request, source)


async def lock_scope(request: Request, session: Session) -> MemoryScope:
    """Lock the board or group of the path to change its notes. Raises NotFound or Forbidden."""
    if not is_in_group(request):
        return memory.board_scope(await board_for_update(request, session))
    group_id = forms.path_id(request, "group_id")
    return memory.group_scope(await boards.lock_group(session, request.user, group_id))


async def _load_board(request: Request, source: Source) -> NoteOwner:
    access = await board_access(request, source)
    board = access.board
    viewers = await presenter.list_other_viewers(source, board, request.user)
    return NoteOwner(
        path=f"/boards/{board.id}/notes",
        name=board.name,
        scope=memory.board_scope(board),
        can_write=access.can_write,
        template="notes/board.html",
        boards=[board],
        context={"board": board, "other_viewers": viewers},
    )


async def _load_group(request: Request, source: Source) -> NoteOwner:
    group_id = forms.path_id(request, "group_id")
    access = await boards.get_group_permissions(source, request.user, group_id)
    group = access.group
    group_boards = await boards.list_boards_of_group(source, current_member(request), group_id)
    return NoteOwner(
        path=f"/groups/{group.id}/notes",
        name=group.name,
        scope=memory.group_scope(group),
        can_write=access.can_write,
        template="notes/group.html",
        boards=group_boards,
        context={"group": group, "can_manage": access.is_admin and access.can_write},
    )


async def show_edit_form(request: Request) -> Response:
    """Show the form that changes or deletes a note."""
    return await _render_edit_form(request, forms.Form())


async def update_note(request: Request) -> Response:
    """Change the text and the tags of a note, and redirect to the notes."""
    form = await forms.read_form(request)
    note_id = _get_note_id(request)
    with form.catch_errors():
        tags = [tag.strip() for tag in form.value("tags").split(SEPARATOR) if tag.strip()]
        fields = form.parse(NoteUpdate, {"tags": tags or None})
        async with open_transaction(request) as session:
            scope = await lock_scope(request, session)
            detail = await memory.lock_note(session, scope, note_id)
            fields = fields.without(check_edit(form, _list_edited_fields(detail.note)))
            await memory.update_note(session, request.user, scope, detail, fields)
        return RedirectResponse(f"{_notes_path(request)}?note={note_id}#note-{note_id}", 303)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_edit_form(request, form)


async def delete_note(request: Request) -> Response:
    """Delete a note, and redirect to the notes."""
    note_id = _get_note_id(request)
    async with open_transaction(request) as session:
        scope = await lock_scope(request, session)
        detail = await memory.lock_note(session, scope, note_id)
        await memory.delete_note(session, request.user, scope, detail)
    return redirect_with_notice(request, _notes_path(request), _("Note deleted"))


def _notes_path(request: Request) -> str:
    path, _separator, _rest = request.url.path.rpartition("/notes/")
    return f"{path}/notes"


def _list_edited_fields(note: Note | GroupNote) -> list[EditedField]:
    """Return the current values of a note as its form shows them."""
    return list_edited_fields(NoteUpdate, note, {"tags": f"{SEPARATOR} ".join(note.tags or ())})


async def _render_edit_form(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    async with open_reader(request) as source:
        owner, detail = await _load_note(request, source)
    edited = _list_edited_fields(detail.note)
    return render_page(
        request,
        "notes/edit.html",
        layout=layout,
        status=form.status,
        form=form,
        owner=owner,
        is_group=is_in_group(request),
        one=detail,
        fields=build_form_fields(form, NoteCreate, edited),
        shown={one.name: one.value for one in edited},
    )


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the fields that the user and somebody else have changed."""
    async with open_reader(request) as source:
        owner, detail = await _load_note(request, source)
    about = ConflictContext(
        title=_("Note in %(place)s", place=owner.name),
        back=f"{owner.path}/{detail.note.id}/edit",
        organization_id=owner.scope.organization_id,
        object_id=detail.note.id,
        suggest=f"{'group' if is_in_group(request) else 'board'}={owner.scope.id}",
    )
    return await render_conflict(request, form, about)


async def _load_note(request: Request, source: Source) -> tuple[NoteOwner, memory.NoteDetail]:
    """Load the note of the path for a member who may change it. Raises NotFound or Forbidden."""
    owner = await load_owner(request, source)
    if not owner.can_write:
        raise Forbidden("board_write_forbidden", N_("You can read this board but not change it."))
    note_id = _get_note_id(request)
    return owner, await memory.get_note(source, owner.scope, note_id)


def _get_note_id(request: Request) -> UUID:
    return forms.path_id(request, "group_note_id" if is_in_group(request) else "note_id")


NOTE_ROUTES: list[Route] = [
    Route(f"{notes}{path}", handler, methods=[method])
    for notes, note in NOTE_PATHS.items()
    for path, method, handler in [
        ("", "GET", show_notes),
        ("", "POST", add_note),
        (f"{note}/edit", "GET", show_edit_form),
        (f"{note}/edit", "POST", update_note),
        (f"{note}/deletions", "POST", delete_note),
        (f"{note}/deletions", "GET", show_edit_form),
    ]
]
"""The routes of the notes of boards and groups."""
