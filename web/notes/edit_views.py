"""Change and delete the notes of a board or a group.

A user who may change a board or a group may change all its notes.
"""

from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.db.reads import Source
from core.errors import Forbidden
from core.http.request import open_reader, open_transaction
from services import memory
from web.notes.forms import NoteEditForm, join_tags, list_edited_fields
from web.notes.views import (
    NotePlace,
    add_note,
    is_in_group,
    load_place,
    lock_scope,
    show_notes,
)
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import check_edit, without
from web.ui.flash_cookies import redirect_with_notice
from web.ui.layout import load_layout
from web.ui.render import render_page
from web.ui.translation import _

NOTE_PATHS = {
    "/boards/{board_id:uuid}/notes": "/{note_id:uuid}",
    "/groups/{group_id:uuid}/notes": "/{group_note_id:uuid}",
}


async def show_edit_form(request: Request) -> Response:
    """Show the form that changes or deletes a note."""
    return await _render_edit_form(request, forms.Form())


async def update_note(request: Request) -> Response:
    """Change the text and the tags of a note, and redirect to the notes."""
    form = await forms.read_form(request)
    note_id = _get_note_id(request)
    with form.catch_errors():
        changes = form.parse(NoteEditForm).to_changes()
        async with open_transaction(request) as session:
            scope = await lock_scope(request, session)
            detail = await memory.lock_note(session, scope, note_id)
            untouched = check_edit(form, list_edited_fields(detail.note))
            new = without(changes, untouched)
            await memory.update_note(session, request.user, scope, detail, new)
        return _redirect_to_notes(request, f"?note={note_id}#note-{note_id}")
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


def _redirect_to_notes(request: Request, position: str) -> Response:
    return RedirectResponse(f"{_notes_path(request)}{position}", 303)


def _notes_path(request: Request) -> str:
    path, _separator, _rest = request.url.path.rpartition("/notes/")
    return f"{path}/notes"


async def _render_edit_form(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    async with open_reader(request) as source:
        place, detail = await _load_note(request, source)
    return render_page(
        request,
        "notes/edit.html",
        layout=layout,
        status=form.status,
        form=form,
        place=place,
        is_group=is_in_group(request),
        one=detail,
        tags=join_tags(detail.note),
    )


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the fields that the user and somebody else have changed."""
    async with open_reader(request) as source:
        place, detail = await _load_note(request, source)
    about = ConflictContext(
        title=_("Note in %(place)s", place=place.name),
        back=f"{place.path}/{detail.note.id}/edit",
        organization_id=place.scope.organization_id,
        object_id=detail.note.id,
        suggest=f"{'group' if is_in_group(request) else 'board'}={place.scope.id}",
    )
    return await render_conflict(request, form, about)


async def _load_note(request: Request, source: Source) -> tuple[NotePlace, memory.NoteDetail]:
    """Load the note of the path for a member who may change it. Raises NotFound or Forbidden."""
    place = await load_place(request, source)
    if not place.can_write:
        raise Forbidden("board_write_forbidden", _("You can read the notes, but not change them."))
    note_id = _get_note_id(request)
    return place, await memory.get_note(source, place.scope, note_id)


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
