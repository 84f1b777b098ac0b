"""What is said about a task, on its page."""

from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.http import transaction
from services import agents, tasks
from web import forms
from web.board_address import BoardAddress
from web.html import render, wants_part
from web.reach import held, looked_at, task_id_in
from web.task_view import conversation, shown


class Said(BaseModel):
    """A comment."""

    message: str = ""


async def show(request: Request) -> Response:
    """Show the conversation about a task as it stands."""
    return await _conversation(request, "comments/_conversation.html")


async def _conversation(request: Request, template: str, **more: object) -> Response:
    async with transaction(request) as session:
        board = (await looked_at(request, session)).board
        detail = await tasks.detail(session, board, task_id_in(request))
        said = await conversation(request, session, board, detail.task.id)
    address = BoardAddress.of(request)
    context: dict[str, Any] = {
        "board": board,
        "task": detail.task,
        "address": address,
        **said,
        **more,
    }
    response = render(request, template, **context)
    said["heard"].tell(response)
    return response


async def comment(request: Request) -> Response:
    """Say something about a task."""
    form = await forms.read(request)
    with form.refusals():
        wanted = form.into(Said)
        async with transaction(request) as session:
            board = await held(request, session)
            await tasks.comment(session, request.user, board, task_id_in(request), wanted.message)
            unheard = await agents.misses_lead(session, board, wanted.message)
        if wants_part(request):
            return await _conversation(request, "comments/_said.html", unheard=unheard)
        here = request.url.path.removesuffix("/comments")
        query = BoardAddress.of(request).query
        told = f"{'&' if query else '?'}unheard=1" if unheard else ""
        return RedirectResponse(f"{here}{query}{told}#conversation", 303)
    return await shown(request, form, focus="comment")
