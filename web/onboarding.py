"""Setting up a board: the agent's questions, the person's answers, and a form beside them."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.http import settings_of, transaction
from services import onboarding
from web import ages, forms
from web import frame as frames
from web.agent_words import clock, span
from web.editors import put_in_place
from web.html import page, render, wants_part
from web.onboarding_forms import OWN, Answer, before, rows, taken_apart
from web.onboarding_scene import Scene, look
from web.onboarding_words import WISHES
from web.reach import held
from web.settings import zones

Says = Callable[..., Awaitable[onboarding.Conversation]]


async def show(request: Request) -> Response:
    """Show how far the board's onboarding is; to htmx only what was said, and what is known."""
    return await shown(request, forms.Form())


async def start(request: Request) -> Response:
    """Let the agent ask, or go on where it asks already."""
    async with transaction(request) as session:
        board = await held(request, session)
        base_url = settings_of(request).base_url
        await onboarding.start(session, request.user, board, base_url=base_url)
    return await _on(request)


async def answer(request: Request) -> Response:
    """Answer the question that waits."""
    return await _say(request, onboarding.answer, "answer")


async def correct(request: Request) -> Response:
    """Give another answer to a question that was answered before."""
    return await _say(request, onboarding.correct, "change")


async def remind(request: Request) -> Response:
    """Ask the agent once more."""
    async with transaction(request) as session:
        board = await held(request, session)
        base_url = settings_of(request).base_url
        await onboarding.remind(session, request.user, board, base_url=base_url)
    return await _on(request)


async def restart(request: Request) -> Response:
    """Begin anew. What was said so far stays written."""
    async with transaction(request) as session:
        board = await held(request, session)
        base_url = settings_of(request).base_url
        await onboarding.restart(session, request.user, board, base_url=base_url)
    return RedirectResponse(_here(board.id), 303)


async def end(request: Request) -> Response:
    """Stop it, and go to the board, which stays as it is."""
    async with transaction(request) as session:
        board = await held(request, session)
        await onboarding.give_up(session, request.user, board)
    return RedirectResponse(f"/boards/{board.id}", 303)


async def shown(request: Request, form: forms.Form, *, acted: bool = False) -> Response:
    """Show the onboarding with an answer that came back. `acted`: the person has just done that."""
    frame = None if wants_part(request) else await frames.load(request)
    async with transaction(request) as session:
        scene = await look(request, session)
    facts: dict[str, Any] = {"scene": scene, "form": form, "acted": acted, **WORDS}
    if frame is None:
        return render(request, "onboarding/_talk.html", form.status, apart=True, **facts)
    return page(
        request,
        "onboarding/show.html",
        frame=frame,
        board_id=scene.board.id,
        status=form.status,
        asks_again="again" in request.query_params,
        **wanted_fields(request, scene, forms.Form()),
        **facts,
    )


def wanted_fields(request: Request, scene: Scene, typed: forms.Form) -> dict[str, Any]:
    """Return what the form about a board and its lead needs."""
    zone = ages.zone(request.user.timezone)
    return {
        "typed": typed,
        "before": before(scene.draft, scene.board, request.user, zone),
        "measures": rows(typed, scene.draft, scene.board),
        "wishes": WISHES,
        "zones": zones(),
    }


def _span(seconds: int) -> str:
    return span(timedelta(seconds=seconds))


WORDS: dict[str, Any] = {
    "OWN": OWN,
    "taken_apart": taken_apart,
    "clock": clock,
    "span_of": _span,
}
"""What the parts of a conversation use."""


async def _say(request: Request, say: Says, editor: str) -> Response:
    """Say what was typed about one question, in a form that is given back in its editor."""
    form = await forms.read(request)
    with form.refusals():
        wanted = form.into(Answer)
        text, other = wanted.said()
        async with transaction(request) as session:
            board, known = await held(request, session), wanted.question
            await say(session, request.user, board, text, other=other, question_id=known)
        return await _on(request)
    return await _refused(request, form, editor)


async def _on(request: Request) -> Response:
    """Go on after something was done."""
    if wants_part(request):
        return await shown(request, forms.Form(), acted=True)
    board_id: UUID = request.path_params["board_id"]
    return RedirectResponse(_here(board_id), 303)


async def _refused(request: Request, form: forms.Form, editor: str) -> Response:
    """Give an answer back with what is wrong; what else is being typed is left alone.

    Of a question that waits no longer the answer comes back as a change of the one that was given.
    """
    response = await shown(request, form)
    asked = forms.id_in(form.value("question"))
    if not wants_part(request) or asked is None:
        return response
    if form.status == 422:
        put_in_place(response, f"#{editor}-{asked}")
    else:
        response.headers["HX-Reswap"] = "outerHTML"  # a part that is morphed opens nothing
    return response


def _here(board_id: UUID) -> str:
    return f"/boards/{board_id}/onboarding"
