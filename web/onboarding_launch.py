"""The launch of a board's lead: on its gateway step by step, or by its token and a first call."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.clock import now
from kit.http import Session, transaction
from web import frame as frames
from web import newcomers
from web.auth import member_of
from web.html import page, render, wants_part
from web.launching import launch
from web.onboarding_scene import Scene, look


async def show(request: Request) -> Response:
    """Show how far the lead is; to htmx only that."""
    return await shown(request)


async def shown(request: Request, *, token: str | None = None, was_late: bool = False) -> Response:
    """Show how far the lead is, and its token if this is the moment to show it.

    `was_late`: the person has confirmed something, and somebody else was faster.
    """
    frame = None if wants_part(request) else await frames.load(request)
    async with transaction(request) as session:
        scene = await look(request, session)
        facts = await _facts(request, session, scene, token)
    if not scene.is_confirmed:
        return RedirectResponse(f"/boards/{scene.board.id}/onboarding", 303)
    if frame is None:
        calls_by_itself = facts["one"] is not None and facts["launch"] is None
        part = "agents/_arrival.html" if calls_by_itself else "onboarding/_lead.html"
        return render(request, part, **facts)
    return page(
        request,
        "onboarding/launch.html",
        frame=frame,
        board_id=scene.board.id,
        status=409 if was_late else 200,
        was_late=was_late,
        **facts,
    )


async def _facts(
    request: Request, session: Session, scene: Scene, token: str | None
) -> dict[str, Any]:
    """Return what the page says of the lead, if the board has one."""
    facts: dict[str, Any] = {"scene": scene, "board": scene.board, "one": None, "calls": None}
    facts |= {"launch": None, "path": f"/boards/{scene.board.id}/onboarding/launch"}
    if scene.lead is None:
        return facts
    if scene.asker.gateway is not None and scene.lead.desired_state is not None:
        at = scene.found.session.updated_at if scene.found else None
        steps = launch(scene.lead, scene.asker.gateway, now(), confirmed_at=at)
        card = await newcomers.card_of(request, session, scene.lead.id)
        return facts | newcomers.words() | {"launch": steps, "one": card}
    if member_of(request).is_admin:
        newcomer = await newcomers.meet(request, session, scene.lead.id, token)
        return facts | newcomers.shown(newcomer, facts["path"])
    card = await newcomers.card_of(request, session, scene.lead.id)
    return facts | newcomers.words() | {"one": card}
