"""The first steps of an admin: an organization, a board, an agent, and its first call."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.http import Session, transaction
from models import Board, Member
from services import agents, boards, organizations
from web import forms, newcomers
from web import frame as frames
from web.agent_forms import NewAgent
from web.auth import Viewer
from web.board_forms import NewBoard
from web.html import page, wants_part
from web.newcomers import Newcomer
from web.rules import RULES

STEPS = ("organization", "board", "agent", "call")


class Named(BaseModel):
    """What the organization is called."""

    name: forms.Line


async def show(request: Request) -> Response:
    """Show the first step that is still to be done; with `?step=organization` that one again."""
    _check_admin(request)
    wanted = request.query_params.get("step")
    step = "organization" if wanted == "organization" else await _missing(request)
    if step == "call":
        return RedirectResponse(f"/welcome/agents/{await _waited_for(request)}", 303)
    if step is None:
        return RedirectResponse("/boards", 303)
    return await _step(request, step, forms.Form())


async def name_organization(request: Request) -> Response:
    """Make the person's organization, or give the one that they look at another name."""
    _check_admin(request)
    form = await forms.read(request)
    member = _member(request)
    with form.refusals():
        wanted = form.into(Named)
        async with transaction(request) as session:
            if member is None:
                await organizations.create(session, request.user, name=wanted.name)
            else:
                await organizations.rename(session, member, name=wanted.name)
        return RedirectResponse("/welcome", 303)
    return await _step(request, "organization", form)


async def create_board(request: Request) -> Response:
    """Create the first board."""
    _check_admin(request)
    form = await forms.read(request)
    member = _member(request)
    if member is None:
        return RedirectResponse("/welcome", 303)
    with form.refusals():
        wanted = form.into(NewBoard)
        async with transaction(request) as session:
            await boards.create(session, member, wanted.draft())
        return RedirectResponse("/welcome", 303)
    return await _step(request, "board", form)


async def create_agent(request: Request) -> Response:
    """Make the first agent, and show its token: now, and never again."""
    _check_admin(request)
    form = await forms.read(request)
    if _member(request) is None:
        return RedirectResponse("/welcome", 303)
    with form.refusals():
        wanted = form.into(NewAgent)
        async with transaction(request) as session:
            newcomer = await newcomers.make(request, session, wanted)
        return await _call(request, newcomer)
    return await _step(request, "agent", form)


async def call(request: Request) -> Response:
    """Wait for an agent's first call; to htmx only whether it has come."""
    _check_admin(request)
    if _member(request) is None:
        return RedirectResponse("/welcome", 303)
    async with transaction(request) as session:
        newcomer = await newcomers.meet(request, session, request.path_params["agent_id"])
    if wants_part(request):
        return newcomers.arrival(request, newcomer, _address(newcomer))
    return await _call(request, newcomer)


async def _missing(request: Request) -> str | None:
    """Return the first step that is still to be done."""
    member = _member(request)
    if member is None:
        return "organization"
    async with transaction(request) as session:
        if await _first_board(session, member) is None:
            return "board"
        cards = await agents.cards(session, member)
    if not cards:
        return "agent"
    return None if any(card.agent.last_seen_at for card in cards) else "call"


async def _waited_for(request: Request) -> UUID:
    member = _member(request)
    assert member is not None
    async with transaction(request) as session:
        cards = await agents.cards(session, member)
    return cards[0].agent.id


async def _first_board(session: Session, member: Member) -> Board | None:
    summaries = await boards.summaries(session, member)
    return next((one.board for one in summaries if one.can_write), None)


async def _step(request: Request, step: str, form: forms.Form) -> Response:
    member = _member(request)
    board = None
    if member is not None:
        async with transaction(request) as session:
            board = await _first_board(session, member)
    if step == "agent" and board is None:
        step = "board"
    return await _page(request, step, board, form=form, rules=RULES)


async def _call(request: Request, newcomer: Newcomer) -> Response:
    more = newcomers.shown(newcomer, _address(newcomer))
    return await _page(request, "call", **more)


async def _page(request: Request, step: str, board: Board | None, **more: Any) -> Response:
    member = _member(request)
    return page(
        request,
        "welcome/show.html",
        frame=None if member is None else await frames.load(request),
        status=more["form"].status if "form" in more else 200,
        steps=STEPS,
        step=step,
        organization=member.organization if member else None,
        board=board,
        **more,
    )


def _address(newcomer: Newcomer) -> str:
    return f"/welcome/agents/{newcomer.card.agent.id}"


def _member(request: Request) -> Member | None:
    viewer: Viewer = request.auth
    return viewer.member


def _check_admin(request: Request) -> None:
    """Raise Forbidden to who belongs to an organization and does not look after it."""
    member = _member(request)
    if member is not None:
        organizations.require_admin(member)
