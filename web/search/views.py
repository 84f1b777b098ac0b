"""The search page, and the suggestions of the command palette and of text boxes."""

from functools import partial
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.db.reads import Source
from core.http.request import open_reader
from core.paging import Paging
from core.text import is_storable
from models import Member
from services import boards, search
from services.search import SearchResults, TextPlace
from web.auth.viewer import current_member
from web.search import presenter
from web.search.address import MAX_QUERY_LENGTH, PAGE_SIZE, SearchAddress
from web.ui import forms, time_format
from web.ui.layout import load_layout
from web.ui.render import render_page, render_part

LISTED_BOARDS = 8  # in the palette before anything is typed


async def show_search(request: Request) -> Response:
    """Show the search page with the results for the address."""
    address, member = SearchAddress.from_query(request.query_params), current_member(request)
    filters = address.build_filters(time_format.get_time_zone(request.user.timezone))
    layout = await load_layout(request)
    async with open_reader(request) as source:
        paging = Paging(PAGE_SIZE, address.offset)
        results = await search.search_for_page(source, member, address.q, paging, filters)
        board_options = [(board.id, board.name) for board in layout.sidebar.boards]
        options = await presenter.list_filter_options(source, member, board_options)
    return render_page(
        request,
        "search/index.html",
        layout=layout,
        address=address,
        is_searchable=search.is_searchable(address.q),
        max_matches=search.MAX_MATCHES,
        is_too_long=len(request.query_params.get("q", "").strip()) > MAX_QUERY_LENGTH,
        filter_options=options,
        **_build_results_context(results, address, member),
    )


def _build_results_context(
    results: SearchResults, address: SearchAddress, member: Member
) -> dict[str, Any]:
    total = presenter.count_results(results, address.kind)
    end = address.offset + len(results.items)
    return {
        "results": results,
        "lines": [
            (item, presenter.ICONS[item.kind], presenter.build_path(item, is_admin=member.is_admin))
            for item in results.items
        ],
        "kind_tabs": presenter.build_kind_tabs(results),
        "total": total,
        "next_offset": end if results.items and end < total else 0,
        "previous_offset": address.offset - PAGE_SIZE if address.offset else None,
    }


async def show_suggestions(request: Request) -> Response:
    """Show what the text in the command palette may mean; without a text, what was opened."""
    member, text = current_member(request), _read_text(request)
    board_id = forms.parse_id(request.query_params.get("board"))
    sections, recent, listed = {}, [], []
    async with open_reader(request) as source:
        if text:
            sections = await search.suggest_objects(source, member, text, board_id=board_id)
        else:
            recent = await search.load_recent_objects(source, member, _read_recent_ids(request))
            listed = (await boards.list_boards(source, member, Paging(LISTED_BOARDS))).items
    return render_part(
        request,
        "search/_suggestions.html",
        text=text,
        is_searchable=search.is_searchable(text),
        sections=sections,
        recent=recent,
        listed_boards=listed,
        build_path=partial(presenter.build_path, is_admin=member.is_admin),
        icons=presenter.ICONS,
    )


async def suggest_mentions(request: Request) -> Response:
    """Show who can be mentioned in a text box. Raises NotFound and Forbidden."""
    member = current_member(request)
    async with open_reader(request) as source:
        place = await _read_place(request, source, member)
        found = await search.suggest_mentions(source, member, place, _read_text(request))
    return render_part(request, "search/_mentions.html", mentions=found, is_group=place.is_group)


async def suggest_tasks(request: Request) -> Response:
    """Show the tasks to which a text can refer. Raises NotFound and Forbidden."""
    member = current_member(request)
    async with open_reader(request) as source:
        place = await _read_place(request, source, member)
        found = await search.suggest_tasks(source, place, _read_text(request))
    names = {board.id: board.name for board in place.boards} if place.is_group else {}
    tasks = [(task, presenter.build_task_link(task)) for task in found]
    return render_part(request, "search/_tasks.html", tasks=tasks, board_names=names)


def _read_text(request: Request) -> str:
    text = request.query_params.get("q", "").strip()[:MAX_QUERY_LENGTH]
    return text if is_storable(text) else ""


def _read_recent_ids(request: Request) -> list[UUID]:
    """Return the ids of the objects that were opened in this browser; the server checks them."""
    given = request.query_params.get("recent", "").split(",", search.MAX_RECENT)
    return [id for id in map(forms.parse_id, given) if id is not None]


async def _read_place(request: Request, source: Source, member: Member) -> TextPlace:
    """Return the board or the group of the text box, else a place without boards.

    Raises NotFound and Forbidden.
    """
    board_id = forms.parse_id(request.query_params.get("board"))
    group_id = forms.parse_id(request.query_params.get("group"))
    if board_id is not None:
        return await search.get_board_place(source, member, board_id)
    if group_id is not None:
        return await search.get_group_place(source, member, group_id)
    return TextPlace(member.organization_id, [])


SEARCH_ROUTES: list[Route] = [
    Route("/search", show_search, name="search"),
    Route("/search/suggestions", show_suggestions),
    Route("/suggestions/mentions", suggest_mentions),
    Route("/suggestions/tasks", suggest_tasks),
]
