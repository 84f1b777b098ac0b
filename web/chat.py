"""What is said in a board's chat, and what the board remembers besides."""

from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.http import Session, settings_of, transaction
from kit.paging import Paging
from models import Board, ReadKind
from services import agents, memory, read_markers
from services.memory import NoteDraft
from web import forms, pauses, presence
from web import frame as frames
from web.auth import member_of
from web.html import page, render, wants_part
from web.listening import SINCE
from web.reach import held, looked_at

AT_ONCE = 50  # messages, or notes


class Said(BaseModel):
    """A message."""

    content: str = ""


async def show(request: Request) -> Response:
    """Show the chat of a board; to htmx only what was said."""
    if wants_part(request):
        return await _talk(request, "chat/_talk.html")
    return await _shown(request, forms.Form())


async def say(request: Request) -> Response:
    """Say something in the chat of a board."""
    form = await forms.read(request)
    base_url = settings_of(request).base_url
    with form.refusals():
        draft = NoteDraft(content=form.into(Said).content, tags=[memory.CHAT])
        async with transaction(request) as session:
            board = await held(request, session)
            place = memory.on_board(board)
            await memory.write(session, request.user, place, draft, base_url=base_url)
            unheard = await agents.misses_lead(session, board, draft.content)
        if wants_part(request):
            return await _talk(request, "chat/_said.html", unheard=unheard)
        return RedirectResponse(f"{request.url.path}{'?unheard=1' if unheard else ''}#say", 303)
    return await _shown(request, form)


async def news(request: Request) -> Response:
    """Show on a board how much is new in its chat."""
    async with transaction(request) as session:
        board = (await looked_at(request, session)).board
        count = await news_of(request, session, board)
    return render(request, "boards/_chat_link.html", board=board, chat_news=count)


async def news_of(request: Request, session: Session, board: Board) -> int:
    """Return how many messages of others a person has not read in the chat of a board."""
    found = await read_markers.unread(session, member_of(request), Paging(), board_id=board.id)
    return sum(one.count for one in found.items if one.kind is ReadKind.CHAT)


async def notes(request: Request) -> Response:
    """Show what a board remembers besides its chat; to htmx only the notes."""
    is_part = wants_part(request)
    frame = None if is_part else await frames.load(request)
    async with transaction(request) as session:
        context = await _kept(request, session, is_chat=False)
        context["others"] = await presence.others(request, session, context["board"])
    if is_part:
        return render(request, "chat/_notes.html", **context)
    return page(request, "chat/notes.html", frame=frame, **context)


async def _talk(request: Request, template: str, **more: object) -> Response:
    async with transaction(request) as session:
        context = await _heard(request, session)
    return render(request, template, **context, **more)


async def _shown(request: Request, form: forms.Form) -> Response:
    """Show the page of the chat with a form that came back; to htmx only the form."""
    frame = await frames.load(request)
    async with transaction(request) as session:
        context = await _heard(request, session)
        board = context["board"]
        context["others"] = await presence.others(request, session, board)
        context["unheard"] = "unheard" in request.query_params
        context["paused_by"] = await pauses.paused_by(request, session, board)
    if wants_part(request):
        response = render(request, "chat/_say.html", form.status, form=form, **context)
        response.headers.update({"HX-Retarget": "#say", "HX-Reswap": "outerHTML"})
        return response
    return page(request, "chat/show.html", frame=frame, status=form.status, form=form, **context)


async def _heard(request: Request, session: Session) -> dict[str, Any]:
    """Load what was said, the newest last, and note it as read."""
    shown = await _kept(request, session, is_chat=True)
    board: Board = shown["board"]
    user, asked = request.user, request.query_params.get(SINCE)
    seen = await read_markers.seen_up_to(session, user, board, kind=ReadKind.CHAT)
    since = seen if asked is None else min(forms.number_in(asked), seen or 0)
    news = await read_markers.chatted_after(session, user, board, since or 0)
    await read_markers.mark(session, user, board, ReadKind.CHAT)
    is_new = since is not None and bool(news)
    kept = {"offset": shown["found"].offset or None, SINCE: since if is_new else None}
    return shown | {
        "said": list(reversed(shown["found"].items)),
        "first_new": news[0].id if is_new else None,
        "query": urlencode({name: value for name, value in kept.items() if value is not None}),
    }


async def _kept(request: Request, session: Session, *, is_chat: bool) -> dict[str, Any]:
    """Load a page of what is kept on the board, newest first, and who works there."""
    access = await looked_at(request, session)
    paging = Paging(AT_ONCE, forms.number_in(request.query_params.get("offset")))
    place = memory.on_board(access.board)
    everybody = await agents.of_board(session, access.board)
    return {
        "board": access.board,
        "can_write": access.can_write,
        "found": await memory.listed(session, place, paging, is_chat=is_chat),
        "crew": {agent.id: agent for agent in everybody},
        "lead": next((agent for agent in everybody if agent.is_board_lead), None),
        "step": AT_ONCE,
    }
