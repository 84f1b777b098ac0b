"""The chat of a board group."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import get_settings, open_reader, open_transaction
from services import agents, boards, memory
from services.memory import NoteCreate
from web.auth.viewer import current_member
from web.groups.presenter import list_boards_of_group
from web.notes.note_pages import NOTES_PER_PAGE, load_note_page
from web.notes.views import mark_notes_read
from web.ui import forms
from web.ui.formatted_texts import format_texts
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part, retarget


async def show_chat(request: Request) -> Response:
    """Show the chat of a group; for htmx only the messages."""
    if not is_part_request(request):
        return await _render(request, forms.Form())
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
    return await _render(request, form)


async def _render(request: Request, form: forms.Form) -> Response:
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
        group_boards = await list_boards_of_group(source, current_member(request), group_id)
        group_agents = await agents.list_agents_of_boards(source, group_boards)
    return {
        "group": access.group,
        "can_write": access.can_write,
        "can_manage": access.is_admin and access.can_write,
        "notes": page.notes,
        "formatted": await format_texts(one.note.content for one in page.notes.items),
        "page_query": page.place.query,
        "agents_by_id": {agent.id: agent for agent in group_agents},
        "board_names": {board.id: board.name for board in group_boards},
        "page_size": NOTES_PER_PAGE,
    }
