"""Pages of the list of boards, and of a new board."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import get_settings, open_reader, open_transaction
from models import Status
from services import agents, boards, onboarding, organizations, presence, waiting_counts
from services.boards import BoardCreate, BoardSummary
from web.auth.viewer import current_member
from web.boards.forms import BOARD_RULES, RULE_EXAMPLES, parse_new_board
from web.boards.presenter import list_gateway_options, no_gateway_option
from web.groups.presenter import list_group_options
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.list_addresses import TableOrder
from web.ui.object_forms import build_form_fields
from web.ui.render import is_part_request, render_page, render_part

SORT_KEYS: Mapping[str, Callable[[BoardSummary], Any]] = {
    "name": lambda one: one.board.name.casefold(),
    "group": lambda one: (one.group_name is None, (one.group_name or "").casefold()),
    "tasks": lambda one: one.task_count - one.task_counts[Status.DONE],
    "agents": lambda one: one.agent_count,
    "updated": lambda one: one.board.updated_at,
}
"""Sort keys by column; `tasks` counts those that are not done."""


async def show_boards(request: Request) -> Response:
    """Show all boards that the member can read; for htmx only the list."""
    member = current_member(request)
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        all_summaries = await boards.list_board_summaries(source, member)
        online_counts = await agents.count_online_agents(
            source,
            [one.board for one in all_summaries],
            offline_after=get_settings(request).offline_after,
        )
        if layout is None:
            waiting = await waiting_counts.load_waiting_counts(source, member)
        else:
            waiting = layout.waiting
        unread_board_ids = await presence.list_boards_with_unread_comments(source, member)
    text = request.query_params.get("q", "").strip()[:200]
    order = TableOrder.from_query("/boards", request.query_params, SORT_KEYS, {"q": text})
    found = [one for one in all_summaries if text.casefold() in _searched_text(one)]
    context: dict[str, Any] = {
        "order": order,
        "search": text,
        "summaries": order.sort_rows(found, SORT_KEYS),
        "total": len(all_summaries),
        "online_counts": online_counts,
        "waiting_by_board": waiting.by_board,
        "unread_board_ids": unread_board_ids,
    }
    if layout is None:
        return render_part(request, "boards/_board_table.html", apart=True, **context)
    return render_page(request, "boards/index.html", layout=layout, **context)


def _searched_text(summary: BoardSummary) -> str:
    board = summary.board
    given = (board.name, summary.group_name, board.objective, board.description)
    return "\n".join(filter(None, given)).casefold()


async def show_new_board_form(request: Request) -> Response:
    """Show the form for a new board."""
    return await _render_new_board_form(request, forms.Form())


async def create_board(request: Request) -> Response:
    """Create a board, and redirect to its onboarding.

    The onboarding is started even if no agent asks the questions, so that a user who leaves it is
    led back to it. Ongoing work without an agent that asks has no onboarding: there is no objective
    to ask for.
    """
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = parse_new_board(form)
        async with open_transaction(request) as session:
            board = await boards.create_board(session, current_member(request), fields)
            if not (fields.objective or board.gateway_id):
                return RedirectResponse(f"/boards/{board.id}", 303)
            base_url = get_settings(request).base_url
            await onboarding.start_onboarding(session, request.user, board, base_url=base_url)
        return RedirectResponse(f"/boards/{board.id}/onboarding", 303)
    return await _render_new_board_form(request, form)


async def _render_new_board_form(request: Request, form: forms.Form) -> Response:
    organizations.require_admin(current_member(request))
    layout = await load_layout(request)
    async with open_reader(request) as source:
        gateways = await list_gateway_options(source, current_member(request))
        groups = await list_group_options(source, current_member(request))
    return render_page(
        request,
        "boards/new.html",
        layout=layout,
        status=form.status,
        form=form,
        fields=build_form_fields(form, BoardCreate),
        rules=BOARD_RULES,
        examples=RULE_EXAMPLES,
        # The first option is the default.
        gateway_options=[*gateways, no_gateway_option()] if gateways else [],
        group_options=groups,
    )
