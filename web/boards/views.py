"""Pages of boards: the list, one board with its tasks and agents, and a new board."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import NotFound
from core.http.request import Session, get_settings, open_transaction
from core.paging import Paging
from models import Board, Member
from services import boards, onboarding, organizations, presence
from services.boards import BoardPermissions
from web.agents.setup import offline_threshold
from web.auth.viewer import current_member
from web.boards import cards, presenter
from web.boards.address import BoardAddress
from web.boards.forms import (
    BOARD_RULES,
    NewBoardForm,
)
from web.boards.presenter import (
    NO_GATEWAY,
    build_agent_lines,
    count_unread_chat,
    list_gateway_options,
    list_other_viewers,
    load_board_status,
    load_new_task_options,
    load_pause_notice,
)
from web.onboarding.state import conversation_stage
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import is_part_request, redirect_to_page, render_page, render_part

DELETED_MESSAGE = "Task deleted"


async def board_access(request: Request, session: Session) -> BoardPermissions:
    """Return the board of the path with the permissions of the viewer.

    Raises NotFound or Forbidden.
    """
    board_id = forms.path_id(request, "board_id")
    return await presenter.load_board_access(session, current_member(request), board_id)


async def board_for_update(request: Request, session: Session) -> Board:
    """Lock the board of the path, to change something on it. Raises NotFound or Forbidden."""
    board_id = forms.path_id(request, "board_id")
    return await presenter.lock_board(session, current_member(request), board_id)


async def load_board_context(
    request: Request, session: Session, rejected_move: cards.RejectedMove | None = None
) -> dict[str, Any]:
    """Load the board of the path as its address filters it, as a template context."""
    return await presenter.load_board_view(
        session,
        current_member(request),
        forms.path_id(request, "board_id"),
        BoardAddress.from_query(request.query_params),
        offline_after=offline_threshold(get_settings(request)),
        rejected_move=rejected_move,
    )


async def show_board(request: Request) -> Response:
    """Show a board; for htmx only its tasks and filters."""
    if is_part_request(request):
        return await show_columns(request)
    return await render_board(request)


async def show_columns(request: Request) -> Response:
    """Show the current tasks of a board and the filters."""
    rejected_move = cards.RejectedMove.parse(request.query_params.get("refused", ""))
    async with open_transaction(request) as session:
        context = await load_board_context(request, session, rejected_move)
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
        async with open_transaction(request) as session:
            context = await presenter.load_card(
                session,
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
    return render_part(request, "boards/_task_card.html", **context)


async def show_agents_panel(request: Request) -> Response:
    """Show the agents of a board."""
    async with open_transaction(request) as session:
        access = await board_access(request, session)
        status = await load_board_status(
            session,
            current_member(request),
            access.board,
            offline_after=offline_threshold(get_settings(request)),
        )
    lines = build_agent_lines(access.board, status.agents, status.approvals)
    is_admin = access.is_admin and access.can_write
    return render_part(
        request, "boards/_agents.html", board=access.board, agent_lines=lines, is_admin=is_admin
    )


async def redirect_from_slug(request: Request) -> Response:
    """Redirect from the readable address of a board to the address with its id."""
    async with open_transaction(request) as session:
        board = await boards.get_board_by_slug(
            session, current_member(request), request.path_params["slug"]
        )
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/boards/{board.id}{query}", 303)


async def render_board(
    request: Request,
    *,
    rejected_move: cards.RejectedMove | None = None,
    form: forms.Form | None = None,
    status_code: int = 200,
) -> Response:
    """Render the page of a board, with a rejected move if there is one."""
    layout = await load_layout(request)
    async with open_transaction(request) as session:
        context = await load_board_context(request, session, rejected_move)
        board, status = context["board"], context["board_status"]
        if context["can_write"]:
            context |= await load_new_task_options(session, context["access"])
        conversation = await onboarding.find_conversation(session, board)
        context |= {
            "agent_lines": build_agent_lines(board, status.agents, status.approvals),
            "toasts": _deleted_toasts(request, board.id),
            "onboarding_stage": conversation_stage(conversation),
            "other_viewers": await list_other_viewers(session, board, request.user),
            **await load_pause_notice(session, board, request.user),
            "unread_chat_count": await count_unread_chat(session, current_member(request), board),
        }
    return render_page(
        request,
        "boards/show.html",
        layout=layout,
        status=status_code,
        form=form or forms.Form(),
        **context,
    )


def _deleted_toasts(request: Request, board_id: UUID) -> list[dict[str, str]]:
    """Return the toast that offers to restore a task that was deleted without scripts."""
    try:
        deleted = UUID(request.query_params.get("deleted", ""))
    except ValueError:
        return []
    undo = f"/boards/{board_id}/tasks/{deleted}/restorations"
    return [{"text": DELETED_MESSAGE, "undo": undo}]


async def show_pause(request: Request) -> Response:
    """Show whether the agents of a board are paused."""
    async with open_transaction(request) as session:
        access = await board_access(request, session)
        notice = await load_pause_notice(session, access.board, request.user)
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
    async with open_transaction(request) as session:
        board = (await board_access(request, session)).board
        names = await list_other_viewers(session, board, request.user)
    return render_part(request, "boards/_viewers.html", board=board, other_viewers=names)


async def show_boards(request: Request) -> Response:
    """Show all boards that the member can read; for htmx only the list."""
    member = current_member(request)
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_transaction(request) as session:
        summaries = await boards.list_board_summaries(session, member)
        onboarding_counts = await onboarding.count_pending_by_board(session, member)
        unread_board_ids = await presence.list_boards_with_unread_comments(session, member)
    context: dict[str, Any] = {
        "summaries": summaries,
        "onboarding_counts": onboarding_counts,
        "unread_board_ids": unread_board_ids,
    }
    if layout is None:
        return render_part(request, "boards/_board_table.html", apart=True, **context)
    return render_page(request, "boards/index.html", layout=layout, **context)


async def show_new_board_form(request: Request) -> Response:
    """Show the form for a new board."""
    return await _render_new_board_form(request, forms.Form())


async def create_board(request: Request) -> Response:
    """Create a board, and redirect to its onboarding.

    The onboarding is started even if no agent asks the questions, so that a user who leaves it is
    led back to it.
    """
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(NewBoardForm)
        async with open_transaction(request) as session:
            board = await boards.create_board(session, current_member(request), fields.to_draft())
            base_url = get_settings(request).base_url
            await onboarding.start_onboarding(session, request.user, board, base_url=base_url)
        return RedirectResponse(f"/boards/{board.id}/onboarding", 303)
    return await _render_new_board_form(request, form)


async def _render_new_board_form(request: Request, form: forms.Form) -> Response:
    organizations.require_admin(current_member(request))
    layout = await load_layout(request)
    async with open_transaction(request) as session:
        options = await _new_board_options(session, current_member(request))
    return render_page(
        request,
        "boards/new.html",
        layout=layout,
        status=form.status,
        form=form,
        rules=BOARD_RULES,
        **options,
    )


async def _new_board_options(session: Session, member: Member) -> dict[str, Any]:
    """Return the gateway and group options of a new board. The first option is the default."""
    options = await list_gateway_options(session, member)
    groups = await boards.list_groups(session, member, Paging())
    return {
        "gateway_options": [*options, NO_GATEWAY] if options else [],
        "group_options": [("", "None"), *[(str(one.id), one.name) for one in groups.items]],
    }
