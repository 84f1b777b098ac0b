"""The boards: all of them, a new one, and the settings of one."""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.errors import Forbidden, Invalid
from kit.http import Session, settings_of, transaction
from kit.paging import Paging
from models import Board
from services import board_groups, boards, gateways, onboarding, organizations, read_markers
from web import ages, forms
from web import frame as frames
from web.auth import member_of
from web.board_forms import SECTIONS, NewBoard, day_in, measures
from web.html import page, render, wants_part
from web.onboarding_scene import stage_of
from web.reach import looked_at
from web.rules import RULES

NO_GATEWAY = ("", "None: its agents are programs that call")


async def index(request: Request) -> Response:
    """Show all boards that the person reads; to htmx only the list of them."""
    member = member_of(request)
    frame = None if wants_part(request) else await frames.load(request)
    async with transaction(request) as session:
        summaries = await boards.summaries(session, member)
        set_up = await onboarding.waiting_by_board(session, member)
        news = await read_markers.boards_with_news(session, member)
    shown: dict[str, Any] = {"summaries": summaries, "set_up": set_up, "news": news}
    if frame is None:
        return render(request, "boards/_list.html", apart=True, **shown)
    return page(request, "boards/index.html", frame=frame, **shown)


async def new(request: Request) -> Response:
    """Show the form for a new board."""
    return await _new(request, forms.Form())


async def create(request: Request) -> Response:
    """Create a board, and go on with its goal and its lead.

    That is begun here also where no agent asks for both: who leaves is led back to it.
    """
    form = await forms.read(request)
    with form.refusals():
        wanted = form.into(NewBoard)
        async with transaction(request) as session:
            board = await boards.create(session, member_of(request), wanted.draft())
            base_url = settings_of(request).base_url
            await onboarding.start(session, request.user, board, base_url=base_url)
        return RedirectResponse(f"/boards/{board.id}/onboarding", 303)
    return await _new(request, form)


async def settings(request: Request) -> Response:
    """Show the settings of a board."""
    return await _settings(request, forms.Form())


async def save(request: Request) -> Response:
    """Save one section of the settings."""
    form = await forms.read(request)
    section = form.value("section")
    if section not in SECTIONS:
        raise Invalid("no_such_section", "There is no such section.", field="section")
    zone = ages.zone(request.user.timezone)
    with form.refusals():
        wanted = form.into(SECTIONS[section])
        async with transaction(request) as session:
            board = await boards.hold_as_admin(session, request.user, _board_id(request))
            changes = wanted.changes(board, zone)
            await boards.change(session, request.user, board, changes)
        if wants_part(request):
            return _rules(request, board, forms.Form(), forms.clock(zone))
        return forms.saved(f"/boards/{board.id}/settings#{section}", zone)
    return await _settings(request, form)


async def delete(request: Request) -> Response:
    """Delete a board whose name was typed, and go to the others."""
    form = await forms.read(request)
    with form.refusals():
        async with transaction(request) as session:
            board = await boards.hold_as_admin(session, request.user, _board_id(request))
            _check_name(form.value("confirmed_name"), board)
            await boards.delete(session, request.user, board)
        return RedirectResponse("/boards", 303)
    return await _settings(request, form)


async def _new(request: Request, form: forms.Form) -> Response:
    organizations.require_admin(member_of(request))
    frame = await frames.load(request)
    async with transaction(request) as session:
        places = await _places(request, session)
    return page(
        request,
        "boards/new.html",
        frame=frame,
        status=form.status,
        form=form,
        rules=RULES,
        **places,
    )


async def _places(request: Request, session: Session) -> dict[str, Any]:
    """Return the gateways and the groups that there are for a new board: the first is chosen."""
    member = member_of(request)
    found = await gateways.summaries(session, member)
    known = [(str(one.gateway.id), one.gateway.name) for one in found]
    groups = await board_groups.listed(session, member, Paging())
    return {
        "gateways": [*known, NO_GATEWAY] if known else [],
        "groups": [("", "None"), *[(str(one.id), one.name) for one in groups.items]],
    }


async def _settings(request: Request, form: forms.Form) -> Response:
    """Show the settings with a form that came back."""
    if wants_part(request):
        async with transaction(request) as session:
            board = await _managed(request, session)
        return _rules(request, board, form, "")
    frame = await frames.load(request)
    async with transaction(request) as session:
        board = await _managed(request, session)
        summaries = await boards.summaries(session, member_of(request))
        choices = await _gateways(request, session, board)
        setting_up = stage_of(await onboarding.find(session, board))
    return page(
        request,
        "boards/settings.html",
        frame=frame,
        status=form.status,
        form=form,
        blank=forms.Form(),
        board=board,
        summary=next((one for one in summaries if one.board.id == board.id), None),
        section=form.value("section"),
        measures=_rows(form, board),
        target_date=day_in(board.target_date, ages.zone(request.user.timezone)),
        rules=RULES,
        gateways=choices,
        setting_up=setting_up,
        saved=forms.saved_at(request),
    )


async def _gateways(request: Request, session: Session, board: Board) -> list[tuple[str, str]]:
    """Return the gateways on which a board may be put, and that it may be on none."""
    member = member_of(request)
    if board.organization_id != member.organization_id:
        return []
    found = await gateways.summaries(session, member)
    known = [(str(one.gateway.id), one.gateway.name) for one in found]
    return [NO_GATEWAY, *known] if known else []


def _rules(request: Request, board: Board, form: forms.Form, saved: str) -> Response:
    """Show the switches as they stand now, and beside them when that was saved."""
    return render(
        request,
        "boards/_switches_saved.html",
        form.status,
        board=board,
        blank=forms.Form(),
        problem=form.problem,
        rules=RULES,
        saved=saved,
        apart=True,
    )


def _rows(form: forms.Form, board: Board) -> list[tuple[str, str]]:
    """Return the rows of measures: as they were typed, or as they are."""
    if form.value("section") != "goal":
        return measures(board)
    return list(zip(form.chosen("measure"), form.chosen("target"), strict=False))


async def _managed(request: Request, session: Session) -> Board:
    """Return the board to somebody who may change its settings. Raises NotFound or Forbidden."""
    found = await looked_at(request, session)
    if not (found.is_admin and found.can_write):
        raise Forbidden("admin_required", "Only an admin can change the settings of a board.")
    return found.board


def _check_name(typed: str, board: Board) -> None:
    if typed.strip() != board.name:
        reason = f"To delete the board, type its name: {board.name}"
        raise Invalid("name_differs", reason, field="confirmed_name")


def _board_id(request: Request) -> UUID:
    board_id: UUID = request.path_params["board_id"]
    return board_id
