"""A board's page: its tasks in columns or as a list, its agents, and filters in the address."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.http import Session, settings_of, transaction
from kit.paging import Paging
from models import Board, ReadKind
from services import agents, approvals, boards, onboarding, read_markers, tags, tasks
from services.agents import AgentCard
from services.approvals import ApprovalDetail
from services.boards import Access
from services.tasks import BoardFilters
from web import cards, chat, crew, forms, pauses, presence
from web import frame as frames
from web.auth import member_of
from web.board_address import NOBODY, BoardAddress
from web.html import page, render, wants_part
from web.onboarding_scene import stage_of
from web.reach import looked_at

DELETED = "Task deleted"


@dataclass(frozen=True)
class Now:
    """What is true of a board now: its agents, and the questions that wait."""

    crew: list[AgentCard]
    questions: list[ApprovalDetail]


async def show(request: Request) -> Response:
    """Show a board; to htmx only its tasks and their filters."""
    if wants_part(request):
        return await columns(request)
    return await whole(request)


async def columns(request: Request) -> Response:
    """Show the tasks of a board as they stand, and the filters."""
    refused = cards.Refused.read(request.query_params.get("refused", ""))
    async with transaction(request) as session:
        shown = await look(request, session, refused)
    response = render(request, "boards/_view.html", **shown)
    here = f"/boards/{shown['board'].id}"
    if request.url.path == here:
        typed = request.headers.get("HX-Source", "").startswith("form")
        kept = "HX-Replace-Url" if typed else "HX-Push-Url"
        response.headers[kept] = here + shown["address"].query
    return response


async def line_up(request: Request) -> Response:
    """Show the agents of a board as they stand."""
    async with transaction(request) as session:
        access = await looked_at(request, session)
        now = await look_at_crew(request, session, access)
    lines = crew.crew_lines(access.board, now.crew, now.questions)
    is_admin = access.is_admin and access.can_write
    return render(request, "boards/_crew.html", board=access.board, crew=lines, is_admin=is_admin)


async def by_slug(request: Request) -> Response:
    """Lead from a board's readable address to the one with its id."""
    async with transaction(request) as session:
        board = await boards.by_slug(session, member_of(request), request.path_params["slug"])
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/boards/{board.id}{query}", 303)


async def whole(
    request: Request,
    *,
    refused: cards.Refused | None = None,
    form: forms.Form | None = None,
    status: int = 200,
) -> Response:
    """Show the whole page of a board, with a move that was refused if there was one."""
    frame = await frames.load(request)
    async with transaction(request) as session:
        shown = await look(request, session, refused)
        if shown["can_write"]:
            shown |= await new_task_choices(session, shown["access"])
        setting_up = stage_of(await onboarding.find(session, shown["board"]))
        others = await presence.others(request, session, shown["board"])
        chat_news = await chat.news_of(request, session, shown["board"])
        paused_by = await pauses.paused_by(request, session, shown["board"])
    return page(
        request,
        "boards/show.html",
        frame=frame,
        status=status,
        form=form or forms.Form(),
        crew=crew.crew_lines(shown["board"], shown["now"].crew, shown["now"].questions),
        toasts=_toasts(request, shown["board"].id),
        setting_up=setting_up,
        others=others,
        paused_by=paused_by,
        chat_news=chat_news,
        **shown,
    )


async def look(
    request: Request, session: Session, refused: cards.Refused | None = None
) -> dict[str, Any]:
    """Load what the page shows of the board's tasks."""
    access = await looked_at(request, session)
    board, address = access.board, BoardAddress.of(request)
    await read_markers.mark(session, request.user, board, ReadKind.COMMENTS)
    now = await look_at_crew(request, session, access)
    found = await tasks.columns(session, request.user, board, address.filters)
    made = cards.in_columns(found, now.questions, now.crew, refused)
    blocked = sum(card.detail.is_blocked for column in made for card in column.cards)
    if address.filters.narrow:
        waiting = await tasks.columns(session, request.user, board, BoardFilters(blocked=True))
        blocked = sum(column.total for column in waiting)
    return {
        "access": access,
        "board": board,
        "can_write": access.can_write,
        "is_admin": access.is_admin and access.can_write,
        "address": address,
        "now": now,
        "columns": made,
        "groups": cards.in_groups(made, address.sort) if address.view == "list" else [],
        "shown_column": cards.column_to_show(made, address.column),
        "needs_count": len(cards.by_task(now.questions)),
        "blocked_count": blocked,
        "agent_filter": _agent_filter(now.crew),
        "tag_filter": await _tag_filter(session, board),
        "unread": await _unread(request, session, board),
        "refused": refused,
    }


async def _unread(request: Request, session: Session, board: Board) -> set[UUID | None]:
    """Return the tasks about which others said something that the person has not read."""
    found = await read_markers.unread(session, member_of(request), Paging(), board_id=board.id)
    return {one.task_id for one in found.items if one.kind is ReadKind.COMMENTS}


def _agent_filter(crew: list[AgentCard]) -> list[tuple[str, str]]:
    everybody = [("", "Everybody"), (NOBODY, "Nobody yet")]
    return everybody + [(str(one.agent.id), one.agent.name) for one in crew]


async def _tag_filter(session: Session, board: Board) -> list[tuple[str, str]]:
    known = await tags.of_board(session, board)
    return [("", "All tags"), *[(tag.slug, tag.name) for tag in known]]


async def look_at_crew(request: Request, session: Session, access: Access) -> Now:
    """Load a board's agents, and the questions that wait for an answer there."""
    member, offline_after = member_of(request), settings_of(request).agent_offline_after
    crew = await agents.cards(
        session,
        member,
        board_id=access.board.id,
        offline_after=timedelta(seconds=offline_after),
    )
    questions = await approvals.waiting(session, member, board_id=access.board.id)
    return Now(list(crew), list(questions))


async def new_task_choices(session: Session, access: Access) -> dict[str, Any]:
    """Load what can be chosen for a new task."""
    everybody = await agents.of_board(session, access.board)
    lead = next((agent.name for agent in everybody if agent.is_board_lead), None)
    workers = await tasks.assignable(session, access.board)
    nobody = ("", f"Let {lead} decide" if lead else "Nobody yet")
    return {
        "assignee_options": [nobody, *[(agent.id, agent.name) for agent in workers]],
        "tag_choices": await tags.of_board(session, access.board),
    }


def _toasts(request: Request, board_id: UUID) -> list[dict[str, str]]:
    """Return what is said of a task that was deleted without scripts: how to bring it back."""
    try:
        deleted = UUID(request.query_params.get("deleted", ""))
    except ValueError:
        return []
    undo = f"/boards/{board_id}/tasks/{deleted}/restorations"
    return [{"text": DELETED, "undo": undo}]
