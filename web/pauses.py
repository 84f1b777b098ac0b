"""Pausing the agents of a board: that they are, since when and by whom, is on its page."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from kit.http import Session, settings_of, transaction
from models import Board
from services import memory
from services.memory import name_of
from web.html import render, to_page, wants_part
from web.reach import held, looked_at


async def show(request: Request) -> Response:
    """Show whether the agents of a board are paused."""
    async with transaction(request) as session:
        access = await looked_at(request, session)
        who = await paused_by(request, session, access.board)
    context: dict[str, Any] = {"board": access.board, "can_write": access.can_write}
    return render(request, "boards/_pauses.html", paused_by=who, **context)


async def pause(request: Request) -> Response:
    """Pause the agents of a board."""
    return await _steer(request, is_paused=True)


async def resume(request: Request) -> Response:
    """Let the agents of a board go on."""
    return await _steer(request, is_paused=False)


async def paused_by(request: Request, session: Session, board: Board) -> str:
    """Return how whoever paused a board is called to the person who looks, "" if nobody did."""
    who = await memory.paused_by(session, board)
    if who is None:
        return ""
    return "you" if who.id == request.user.id else name_of(who)


async def _steer(request: Request, *, is_paused: bool) -> Response:
    base_url = settings_of(request).base_url
    async with transaction(request) as session:
        board = await held(request, session)
        await memory.steer(session, request.user, board, is_paused=is_paused, base_url=base_url)
    if wants_part(request):
        return await show(request)
    return to_page(request, "board", board_id=board.id)
