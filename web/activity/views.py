"""Pages of the activity feed."""

from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.db.reads import Source
from core.http.request import open_reader
from core.paging import Paging
from services import activity, agents
from services.activity import ActivityFilters
from services.pickers import PickerKind
from web.activity.presenter import (
    ALL_TYPES,
    KIND_LABELS,
    TYPES_BY_KIND,
    build_activity_line,
    group_by_day,
)
from web.auth.viewer import current_member
from web.boards.presenter import list_other_viewers
from web.boards.views import board_access
from web.pickers import load_chosen
from web.ui import forms, time_format
from web.ui.formatted_texts import FormattedTexts, format_texts
from web.ui.layout import load_layout
from web.ui.list_addresses import build_query
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import translate

PAGE_SIZE = 50  # entries on a page


@dataclass(frozen=True)
class ActivityAddress:
    """The address of a feed: of all boards, or of one board. Invalid parameters are ignored."""

    kind: str = ""
    board: str = ""
    agent: str = ""
    before: int = 0
    after: int = 0
    of_board: bool = False  # the board is in the path

    @classmethod
    def from_request(cls, request: Request) -> "ActivityAddress":
        """Parse the address of a request."""
        query = request.query_params
        kind, board_id = query.get("kind", ""), request.path_params.get("board_id")
        return cls(
            kind=kind if kind in KIND_LABELS else "",
            board=str(board_id or forms.parse_id(query.get("board")) or ""),
            agent=str(forms.parse_id(query.get("agent")) or ""),
            before=forms.parse_number(query.get("before")),
            after=forms.parse_number(query.get("after")),
            of_board=board_id is not None,
        )

    @property
    def path(self) -> str:
        """Return the path of the feed."""
        return f"/boards/{self.board}/feed" if self.of_board else "/activity"

    @property
    def is_narrowed(self) -> bool:
        """Return whether a filter is set."""
        return bool(self.kind or self.agent or (self.board and not self.of_board))

    @property
    def filters(self) -> ActivityFilters:
        """Return the filters of the feed."""
        return ActivityFilters(
            kinds=TYPES_BY_KIND[self.kind] if self.kind else ALL_TYPES,
            board_id=forms.parse_id(self.board),
            agent_id=forms.parse_id(self.agent),
            before=self.before or None,
            after=self.after or None,
        )

    def url_with(self, part: str = "", **changes: Any) -> str:
        """Return the address, or that of a part, with some parameters changed."""
        in_path = {"of_board", "board"} if self.of_board else {"of_board"}
        values = vars(replace(self, **changes))
        parameters = {name: value for name, value in values.items() if name not in in_path}
        return f"{self.path}{part}{build_query(parameters)}"


async def show_activity(request: Request) -> Response:
    """Show the newest events; for htmx only the rows."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        context = await _load_activity(request, source)
    context["formatted"] = await _format_comments(context)
    if layout is None:
        return render_part(request, "activity/_feed.html", **context)
    return render_page(request, "activity/index.html", layout=layout, **context)


async def show_board_feed(request: Request) -> Response:
    """Show the newest events of a board; for htmx the drawer of the board, or only the rows."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        context: dict[str, Any] = {"board": board, **await _load_activity(request, source)}
        viewers = await list_other_viewers(source, board, request.user)
    context["formatted"] = await _format_comments(context)
    if layout is not None:
        return render_page(
            request, "activity/board.html", layout=layout, other_viewers=viewers, **context
        )
    is_reload = request.headers.get("HX-Target", "").endswith("#feed")
    template = "activity/_feed.html" if is_reload else "activity/_drawer.html"
    return render_part(request, template, **context)


async def show_new_count(request: Request) -> Response:
    """Show the number of events since the visible rows were loaded."""
    address = ActivityAddress.from_request(request)
    async with open_reader(request) as source:
        if address.of_board:
            await board_access(request, source)
        count = await activity.count_new_activity(source, current_member(request), address.filters)
    more: dict[str, Any] = {"new_count": count, "max_new": activity.MAX_NEW}
    return render_part(request, "activity/_new_count.html", address=address, newest=0, **more)


async def _load_activity(request: Request, source: Source) -> dict[str, Any]:
    """Load the rows. Raises NotFound or Forbidden for the board of the address."""
    member = current_member(request)
    address = replace(ActivityAddress.from_request(request), after=0)
    found = await activity.list_member_activity(source, member, Paging(PAGE_SIZE), address.filters)
    names_board = not address.of_board
    lines = [build_activity_line(entry, member, names_board=names_board) for entry in found.items]
    of_all_kinds = replace(address, kind="", before=0).filters
    counts = await activity.count_member_activity(source, member, of_all_kinds)
    named = {line.agent_id for line in lines if line.agent_id}
    return {
        "address": address,
        "days": group_by_day(lines, time_format.get_time_zone(request.user.timezone)),
        "shown": len(lines),
        "total": found.total,
        "earlier": lines[-1].event.seq if found.total > len(lines) else 0,
        "newest": lines[0].event.seq if lines else 0,
        "cards_by_agent": await agents.load_agent_cards(source, member, named),
        "chosen_board": await load_chosen(
            source, member, PickerKind.BOARDS, "board", forms.Form(), [address.board]
        ),
        "chosen_agent": await load_chosen(
            source, member, PickerKind.AGENTS, "agent", forms.Form(), [address.agent]
        ),
        "total_count": sum(counts.values()),
        "filter_options": [
            (kind, translate(label), sum(counts.get(type, 0) for type in TYPES_BY_KIND[kind]))
            for kind, label in KIND_LABELS.items()
        ],
    }


async def _format_comments(context: dict[str, Any]) -> FormattedTexts:
    return await format_texts(line.body for _day, lines in context["days"] for line in lines)


ACTIVITY_ROUTES: list[Route] = [
    Route("/activity", show_activity, name="activity"),
    Route("/activity/news", show_new_count),
    Route("/boards/{board_id:uuid}/feed", show_board_feed),
    Route("/boards/{board_id:uuid}/feed/news", show_new_count),
]
