"""Pages of the list of boards, and of a new board."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.http.request import get_settings, open_reader, open_transaction
from core.paging import Paging
from models import Member
from services import agents, boards, onboarding, organizations, presence, sidebar, waiting_counts
from services.boards import BoardCreate, BoardList, BoardSort
from web.auth.viewer import current_member
from web.boards.forms import BOARD_RULES, RULE_EXAMPLES, parse_new_board
from web.boards.presenter import load_place_fields
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.list_addresses import TableOrder, TablePage
from web.ui.object_forms import build_form_fields
from web.ui.render import is_part_request, render_page, render_part

PAGE_SIZE = 50  # boards


async def show_boards(request: Request) -> Response:
    """Show a page of the boards that the member can read; for htmx only the list."""
    member, text = current_member(request), forms.parse_search(request.query_params)
    order = TableOrder.from_query("/boards", request.query_params, BoardSort, {"q": text})
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        found = await _load_page(
            source, member, text, order, forms.parse_offset(request.query_params)
        )
        page = found.page
        online_counts = await agents.count_online_agents(
            source,
            [one.board for one in page.items],
            offline_after=get_settings(request).offline_after,
        )
        if layout is None:
            waiting = await waiting_counts.load_waiting_counts(source, member)
        else:
            waiting = layout.waiting
        unread_board_ids = await presence.list_boards_with_unread_comments(
            source, member, [one.board.id for one in page.items]
        )
        pinned_ids = await sidebar.list_pinned_ids(source, member)
    context: dict[str, Any] = {
        "order": order,
        "search": text,
        "page": TablePage(order, page.items, page.offset, page.total, PAGE_SIZE),
        "total": found.board_count,
        "online_counts": online_counts,
        "waiting_by_board": waiting.by_board,
        "unread_board_ids": unread_board_ids,
        "pinned_ids": frozenset(pinned_ids),
    }
    if layout is None:
        return render_part(request, "boards/_board_table.html", apart=True, **context)
    return render_page(request, "boards/index.html", layout=layout, **context)


async def _load_page(
    source: Source, member: Member, text: str, order: TableOrder, offset: int
) -> BoardList:
    """Load the page at an offset, or the last one if there are fewer boards by now."""
    sort, is_descending = BoardSort(order.sort.removeprefix("-")), order.sort.startswith("-")
    load = partial(
        boards.list_board_page, source, member, search=text, sort=sort, is_descending=is_descending
    )
    found = await load(Paging(PAGE_SIZE, offset))
    if offset and not found.page.items:
        last = max(found.page.total - 1, 0) // PAGE_SIZE * PAGE_SIZE
        return await load(Paging(PAGE_SIZE, last))
    return found


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
        places = await load_place_fields(source, current_member(request), form, None)
    return render_page(
        request,
        "boards/new.html",
        layout=layout,
        status=form.status,
        form=form,
        fields=build_form_fields(form, BoardCreate),
        rules=BOARD_RULES,
        examples=RULE_EXAMPLES,
        **places,
    )
