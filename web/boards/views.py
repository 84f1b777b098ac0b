"""The page of a board with its tasks and agents, and its parts."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.errors import NotFound
from core.http.request import Session, get_settings, open_reader, open_transaction
from models import Board, ReadKind
from services import boards, onboarding, presence
from services.boards import BoardPermissions
from services.waiting_counts import WaitingCounts
from web.agents.setup import offline_threshold
from web.auth.viewer import current_member
from web.boards import board_view, cards, presenter
from web.boards.address import BoardAddress
from web.boards.board_view import load_board_status
from web.boards.bulk_forms import parse_task_ids
from web.boards.presenter import (
    build_agent_lines,
    build_new_task_options,
    list_other_viewers,
    load_pause_notice,
    load_pauser,
)
from web.onboarding.state import conversation_stage
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import is_part_request, redirect_to_page, render_page, render_part
from web.ui.translation import _, ngettext

KNOWN_HASHES = "Board-Cards"
"""Header with the hashes of the cards and columns that a page shows (static/known_cards.js)."""


async def board_access(request: Request, source: Source) -> BoardPermissions:
    """Return the board of the path with the permissions of the viewer.

    Raises NotFound or Forbidden.
    """
    board_id = forms.path_id(request, "board_id")
    return await presenter.load_board_access(source, current_member(request), board_id)


async def board_for_update(request: Request, session: Session) -> Board:
    """Lock the board of the path, to change something on it. Raises NotFound or Forbidden."""
    board_id = forms.path_id(request, "board_id")
    return await presenter.lock_board(session, current_member(request), board_id)


async def load_board_context(
    request: Request,
    rejected_moves: Sequence[cards.RejectedMove] = (),
    *,
    moved_task_id: UUID | None = None,
) -> dict[str, Any]:
    """Load the board of the path as its address filters it, as a template context.

    The user has then seen its comments.
    """
    async with open_reader(request) as source:
        context = await _load_view(request, source, rejected_moves, moved_task_id=moved_task_id)
    await _mark_new_comments(request, context)
    return context


async def _load_view(
    request: Request,
    source: Source,
    rejected_moves: Sequence[cards.RejectedMove],
    *,
    moved_task_id: UUID | None = None,
    use_default: bool = False,
    counts: WaitingCounts | None = None,
) -> dict[str, Any]:
    return await board_view.load_board_view(
        source,
        current_member(request),
        forms.path_id(request, "board_id"),
        BoardAddress.from_query(request.query_params),
        offline_after=offline_threshold(get_settings(request)),
        rejected_moves=rejected_moves,
        moved_task_id=moved_task_id,
        known_hashes=frozenset(request.headers.get(KNOWN_HASHES, "").split(",")),
        use_default=use_default,
        counts=counts,
    )


async def _mark_new_comments(request: Request, context: dict[str, Any]) -> None:
    """Record that the user has seen the comments of a board, unless that is recorded already."""
    if not context["has_new_comments"]:
        return
    board, last_seq = context["board"], context["last_comment_seq"]
    async with open_transaction(request) as session:
        await presence.move_read_marker(
            session, request.user, board, ReadKind.COMMENTS, last_seq=last_seq
        )


async def show_board(request: Request) -> Response:
    """Show a board, without a query in the default view of the user.

    For htmx only its tasks and filters.
    """
    if is_part_request(request):
        return await show_columns(request)
    return await render_board(request, use_default=not request.url.query)


async def show_columns(request: Request) -> Response:
    """Show the current tasks of a board and the filters."""
    rejected_moves = cards.RejectedMove.parse_all(request.query_params.get("refused", ""))
    context = await load_board_context(request, rejected_moves)
    response = render_part(request, "boards/_view.html", **context)
    board_path = f"/boards/{context['board'].id}"
    if request.url.path == board_path:
        is_typing = request.headers.get("HX-Source", "").startswith("form")
        header = "HX-Replace-Url" if is_typing else "HX-Push-Url"
        response.headers[header] = board_path + context["address"].query
    return response


async def show_card(request: Request) -> Response:
    """Show the card of one task, or all tasks if it is no longer on the board."""
    address = BoardAddress.from_query(request.query_params)
    try:
        async with open_reader(request) as source:
            context = await board_view.load_card(
                source,
                current_member(request),
                forms.path_id(request, "board_id"),
                forms.path_id(request, "task_id"),
                address,
                offline_after=offline_threshold(get_settings(request)),
                rejected_move=cards.RejectedMove.parse(request.query_params.get("refused", "")),
            )
    except NotFound:
        response = await show_columns(request)
        response.headers.update({"HX-Retarget": "#board-view", "HX-Reswap": "outerMorph"})
        return response
    await _mark_new_comments(request, context)
    return render_part(request, "boards/_card_update.html", **context)


async def show_agents_panel(request: Request) -> Response:
    """Show the agents of a board."""
    async with open_reader(request) as source:
        access = await board_access(request, source)
        status = await load_board_status(
            source,
            current_member(request),
            access.board,
            offline_after=offline_threshold(get_settings(request)),
        )
    decidable = status.list_decidable_ids(can_write=access.can_write)
    lines = build_agent_lines(access.board, status.agents, status.approvals, decidable)
    is_admin = access.is_admin and access.can_write
    return render_part(
        request, "boards/_agents.html", board=access.board, agent_lines=lines, is_admin=is_admin
    )


async def redirect_from_slug(request: Request) -> Response:
    """Redirect from the readable address of a board to the address with its id."""
    async with open_reader(request) as source:
        board = await boards.get_board_by_slug(
            source, current_member(request), request.path_params["slug"]
        )
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/boards/{board.id}{query}", 303)


async def render_board(
    request: Request,
    *,
    rejected_moves: Sequence[cards.RejectedMove] = (),
    form: forms.Form | None = None,
    status_code: int = 200,
    use_default: bool = False,
) -> Response:
    """Render the page of a board, with the rejected moves if there are any."""
    layout = await load_layout(request)
    async with open_reader(request) as source:
        context = await _load_view(
            request, source, rejected_moves, use_default=use_default, counts=layout.waiting
        )
        board, status = context["board"], context["board_status"]
        if context["can_write"]:
            context |= build_new_task_options(
                status.board_agents, context["board_tags"], context["board_people"]
            )
        conversation = await onboarding.find_conversation(source, board)
        context |= {
            "agent_lines": build_agent_lines(
                board, status.agents, status.approvals, context["card_renderer"].decidable_ids
            ),
            "toasts": _deleted_toasts(request, board.id),
            "onboarding_stage": conversation_stage(conversation),
            "other_viewers": await list_other_viewers(source, board, request.user),
            **await load_pauser(source, board, request.user),
            "held_agents": status.held_agents,
        }
    await _mark_new_comments(request, context)
    return render_page(
        request,
        "boards/show.html",
        layout=layout,
        status=status_code,
        form=form or forms.Form(),
        **context,
    )


def _deleted_toasts(request: Request, board_id: UUID) -> list[dict[str, Any]]:
    """Return the toast that offers to restore tasks that were deleted without scripts."""
    deleted = parse_task_ids(request.query_params.get("deleted", ""))
    return [build_deleted_toast(board_id, deleted)] if deleted else []


def build_deleted_toast(board_id: UUID, task_ids: Sequence[UUID]) -> dict[str, Any]:
    """Build the toast that offers to restore deleted tasks."""
    text = ngettext("%(num)d task deleted", "%(num)d tasks deleted", len(task_ids))
    here, fields = f"/boards/{board_id}", {"ids": ",".join(map(str, task_ids))}
    toast = {"text": text, "undo": f"{here}/restorations", "fields": fields}
    return toast | {"link": (_("Trash"), f"{here}/trash")}


async def show_pause(request: Request) -> Response:
    """Show whether the agents of a board are paused."""
    async with open_reader(request) as source:
        access = await board_access(request, source)
        notice = await load_pause_notice(source, access.board, request.user)
    context: dict[str, Any] = {"board": access.board, "can_write": access.can_write}
    return render_part(request, "boards/_pause_update.html", **context, **notice)


async def pause_board(request: Request) -> Response:
    """Pause the agents of a board."""
    return await _set_paused(request, boards.pause_board)


async def resume_board(request: Request) -> Response:
    """Resume the agents of a board."""
    return await _set_paused(request, boards.resume_board)


async def _set_paused(request: Request, command: Callable[..., Awaitable[None]]) -> Response:
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        await command(session, request.user, board)
    if is_part_request(request):
        return await show_pause(request)
    return redirect_to_page(request, "board", board_id=board.id)


async def show_viewers(request: Request) -> Response:
    """Show which other users have the board open."""
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        names = await list_other_viewers(source, board, request.user)
    return render_part(request, "boards/_viewers.html", board=board, other_viewers=names)
