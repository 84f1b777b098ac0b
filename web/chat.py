"""The chat of a board."""

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.http.request import get_settings, open_reader, open_transaction
from models import Board, ReadKind
from services import agents, memory, messages, presence
from services.memory import NoteCreate
from web.auth.viewer import current_member
from web.boards import presenter
from web.boards.views import board_access, board_for_update
from web.notes.note_pages import NOTES_PER_PAGE, load_authors, load_note_page
from web.notes.views import mark_notes_read
from web.tasks.conversation import SINCE_PARAMETER
from web.ui import forms
from web.ui.formatted_texts import FormattedTexts, format_texts
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part, retarget


async def show_chat(request: Request) -> Response:
    """Show the chat of a board; for htmx only the messages."""
    if is_part_request(request):
        return await _render_chat_part(request, "chat/_messages.html")
    return await _render_chat(request, forms.Form())


async def _build_mention(request: Request, source: Source, board: Board) -> str:
    """Return the beginning of a message to the agent in the address, or ""."""
    agent_id = forms.parse_id(request.query_params.get("to"))
    if agent_id is None:
        return ""
    board_agents = await agents.list_board_agents(source, board)
    agent = next((one for one in board_agents if one.id == agent_id), None)
    mention = messages.find_mention(agent, board_agents) if agent else None
    return f"@{mention} " if mention else ""


async def post_message(request: Request) -> Response:
    """Post a message in the chat of a board."""
    form = await forms.read_form(request)
    base_url = get_settings(request).base_url
    with form.catch_errors():
        fields = form.parse(NoteCreate, {"tags": [memory.CHAT_TAG]})
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            scope = memory.board_scope(board)
            await memory.create_note(session, request.user, scope, fields, base_url=base_url)
            is_lead_missing = await agents.is_lead_missing(session, board, fields.content)
        if is_part_request(request):
            return await _render_chat_part(
                request, "chat/_message_update.html", is_lead_missing=is_lead_missing
            )
        return RedirectResponse(
            f"{request.url.path}{'?unheard=1' if is_lead_missing else ''}#say", 303
        )
    return await _render_chat(request, form)


async def show_unread_count(request: Request) -> Response:
    """Show the number of unread chat messages of a board."""
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        unread = await presence.load_board_unread(source, current_member(request), board)
    return render_part(
        request, "boards/_chat_link.html", board=board, unread_chat_count=unread.chat_count
    )


async def _render_chat_part(request: Request, template: str, **more: object) -> Response:
    async with open_reader(request) as source:
        context = await _load_chat(request, source)
    context["formatted"] = await _format_messages(context)
    await _mark_chat_read(request, context)
    return render_part(request, template, **context, **more)


async def _render_chat(request: Request, form: forms.Form) -> Response:
    """Render the chat page; for htmx only the form with its errors."""
    async with open_reader(request) as source:
        context = await _load_chat(request, source)
        board = context["board"]
        context["other_viewers"] = await presenter.list_other_viewers(source, board, request.user)
        context["is_lead_missing"] = "unheard" in request.query_params
        context["mention"] = await _build_mention(request, source, board)
        context |= await presenter.load_pause_notice(source, board, request.user)
    if is_part_request(request):
        response = render_part(
            request, "chat/_message_form.html", form.status, form=form, **context
        )
        retarget(response, "#say")
        return response
    context["formatted"] = await _format_messages(context)
    await _mark_chat_read(request, context)
    layout = await load_layout(request)
    return render_page(
        request, "chat/show.html", layout=layout, status=form.status, form=form, **context
    )


async def _format_messages(context: dict[str, Any]) -> FormattedTexts:
    return await format_texts(one.note.content for one in context["chat_messages"])


async def _mark_chat_read(request: Request, context: dict[str, Any]) -> None:
    """Record that the user has read the messages of the context."""
    await mark_notes_read(request, context["notes"], context["board"])
    if context["notes"].offset:
        return
    async with open_transaction(request) as session:
        await presence.move_read_marker(
            session, request.user, context["board"], ReadKind.CHAT, last_seq=context["last_seq"]
        )


async def _load_chat(request: Request, source: Source) -> dict[str, Any]:
    """Load a page of chat messages, oldest first, and which of them the user has not read."""
    access = await board_access(request, source)
    user, board = request.user, access.board
    given = request.query_params.get(SINCE_PARAMETER)
    shown_since = None if given is None else forms.parse_number(given)
    state = await presence.load_read_state(source, user, board, shown_since=shown_since)
    page = await load_note_page(
        source, memory.board_scope(board), request.query_params, is_chat=True
    )
    is_new = state.since is not None and bool(state.new_items)
    since_last_visit = {SINCE_PARAMETER: str(state.since)} if is_new else {}
    return {
        "board": board,
        "can_write": access.can_write,
        "agents_by_id": await load_authors(source, page.notes, [board]),
        "lead": await agents.find_board_lead(source, board),
        "last_seq": state.last_seq,
        "notes": page.notes,
        "chat_messages": list(reversed(page.notes.items)),
        "page_size": NOTES_PER_PAGE,
        "first_new_id": state.new_items[0].id if is_new else None,
        "query": urlencode({**page.position.parameters, **since_last_visit}),
    }
