"""Pages of a board's chat and notes."""

from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import Session, get_settings, open_transaction
from core.paging import Paging
from models import Board, ReadKind
from services import agents, memory, presence
from services.memory import NoteDraft
from web.auth.viewer import current_member
from web.boards import presenter
from web.boards.presenter import count_unread_chat
from web.boards.views import board_access, board_for_update
from web.tasks.presenter import SINCE_PARAMETER
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part

PAGE_SIZE = 50  # messages, or notes


class ChatMessageForm(BaseModel):
    """A chat message."""

    content: str = ""


async def show_chat(request: Request) -> Response:
    """Show the chat of a board; for htmx only the messages."""
    if is_part_request(request):
        return await _render_chat_part(request, "chat/_messages.html")
    return await _render_chat(request, forms.Form())


async def post_message(request: Request) -> Response:
    """Post a message in the chat of a board."""
    form = await forms.read_form(request)
    base_url = get_settings(request).base_url
    with form.catch_errors():
        draft = NoteDraft(content=form.parse(ChatMessageForm).content, tags=[memory.CHAT_TAG])
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            scope = memory.board_scope(board)
            await memory.create_note(session, request.user, scope, draft, base_url=base_url)
            is_lead_missing = await agents.is_lead_missing(session, board, draft.content)
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
    async with open_transaction(request) as session:
        board = (await board_access(request, session)).board
        count = await count_unread_chat(session, current_member(request), board)
    return render_part(request, "boards/_chat_link.html", board=board, unread_chat_count=count)


async def show_notes(request: Request) -> Response:
    """Show the notes of a board; for htmx only the list of notes."""
    is_part = is_part_request(request)
    layout = None if is_part else await load_layout(request)
    async with open_transaction(request) as session:
        context = await _load_memory(request, session, is_chat=False)
        context["other_viewers"] = await presenter.list_other_viewers(
            session, context["board"], request.user
        )
    if is_part:
        return render_part(request, "chat/_notes.html", **context)
    return render_page(request, "chat/notes.html", layout=layout, **context)


async def _render_chat_part(request: Request, template: str, **more: object) -> Response:
    async with open_transaction(request) as session:
        context = await _load_chat(request, session)
    return render_part(request, template, **context, **more)


async def _render_chat(request: Request, form: forms.Form) -> Response:
    """Render the chat page; for htmx only the form with its errors."""
    layout = await load_layout(request)
    async with open_transaction(request) as session:
        context = await _load_chat(request, session)
        board = context["board"]
        context["other_viewers"] = await presenter.list_other_viewers(session, board, request.user)
        context["is_lead_missing"] = "unheard" in request.query_params
        context |= await presenter.load_pause_notice(session, board, request.user)
    if is_part_request(request):
        response = render_part(
            request, "chat/_message_form.html", form.status, form=form, **context
        )
        response.headers.update({"HX-Retarget": "#say", "HX-Reswap": "outerHTML"})
        return response
    return render_page(
        request, "chat/show.html", layout=layout, status=form.status, form=form, **context
    )


async def _load_chat(request: Request, session: Session) -> dict[str, Any]:
    """Load a page of chat messages, oldest first, and mark the chat as read."""
    context = await _load_memory(request, session, is_chat=True)
    board: Board = context["board"]
    user, given = request.user, request.query_params.get(SINCE_PARAMETER)
    read_up_to = await presence.find_read_position(session, user, board, kind=ReadKind.CHAT)
    since = read_up_to if given is None else min(forms.parse_number(given), read_up_to or 0)
    new_messages = await presence.list_chat_messages_after(session, user, board, since or 0)
    await presence.mark_read(session, user, board, ReadKind.CHAT)
    is_new = since is not None and bool(new_messages)
    parameters = {
        "offset": context["notes"].offset or None,
        SINCE_PARAMETER: since if is_new else None,
    }
    return context | {
        "chat_messages": list(reversed(context["notes"].items)),
        "first_new_id": new_messages[0].id if is_new else None,
        "query": urlencode(
            {name: value for name, value in parameters.items() if value is not None}
        ),
    }


async def _load_memory(request: Request, session: Session, *, is_chat: bool) -> dict[str, Any]:
    """Load a page of chat messages or notes, newest first, and the agents of the board."""
    access = await board_access(request, session)
    paging = Paging(PAGE_SIZE, forms.parse_number(request.query_params.get("offset")))
    scope = memory.board_scope(access.board)
    board_agents = await agents.list_board_agents(session, access.board)
    return {
        "board": access.board,
        "can_write": access.can_write,
        "notes": await memory.list_notes(session, scope, paging, is_chat=is_chat),
        "agents_by_id": {agent.id: agent for agent in board_agents},
        "lead": next((agent for agent in board_agents if agent.is_board_lead), None),
        "page_size": PAGE_SIZE,
    }
