"""Pages of the activity feed."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from core.http.request import Session, open_transaction
from core.paging import Paging
from services import activity, agents
from services.activity import ActivityFilters
from web.activity.presenter import ALL_TYPES, EVENT_KINDS, build_activity_line, group_by_day
from web.auth.viewer import current_member
from web.ui import forms, time_format
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part

PAGE_SIZE = 50  # entries on a page


@dataclass(frozen=True)
class ActivityAddress:
    """Query parameters of the feed. Invalid parameters are ignored."""

    kind: str = ""
    board: str = ""
    agent: str = ""
    before: int = 0
    after: int = 0

    @classmethod
    def from_query(cls, query: QueryParams) -> "ActivityAddress":
        """Parse the query of a request."""
        kind = query.get("kind", "")
        return cls(
            kind=kind if kind in EVENT_KINDS else "",
            board=str(forms.parse_id(query.get("board")) or ""),
            agent=str(forms.parse_id(query.get("agent")) or ""),
            before=forms.parse_number(query.get("before")),
            after=forms.parse_number(query.get("after")),
        )

    @property
    def filters(self) -> ActivityFilters:
        """Return the filters of the feed."""
        return ActivityFilters(
            kinds=EVENT_KINDS[self.kind][1] if self.kind else ALL_TYPES,
            board_id=forms.parse_id(self.board),
            agent_id=forms.parse_id(self.agent),
            before=self.before or None,
            after=self.after or None,
        )

    def query_with(self, **changes: Any) -> str:
        """Return the query with some parameters changed."""
        parameters = {
            name: value for name, value in vars(replace(self, **changes)).items() if value
        }
        return f"?{urlencode(parameters)}" if parameters else ""


async def show_activity(request: Request) -> Response:
    """Show the newest events; for htmx only the rows."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_transaction(request) as session:
        context = await _load_activity(request, session)
    if layout is None:
        return render_part(request, "activity/_feed.html", **context)
    return render_page(request, "activity/index.html", layout=layout, **context)


async def show_new_count(request: Request) -> Response:
    """Show the number of events since the visible rows were loaded."""
    address = ActivityAddress.from_query(request.query_params)
    async with open_transaction(request) as session:
        found = await activity.list_member_activity(
            session, current_member(request), Paging(1), address.filters
        )
    return render_part(
        request, "activity/_new_count.html", address=address, newest=0, new_count=found.total
    )


async def _load_activity(request: Request, session: Session) -> dict[str, Any]:
    """Load the rows. Raises NotFound or Forbidden for the board of the address."""
    member, address = (
        current_member(request),
        replace(ActivityAddress.from_query(request.query_params), after=0),
    )
    found = await activity.list_member_activity(session, member, Paging(PAGE_SIZE), address.filters)
    lines = [build_activity_line(entry, member) for entry in found.items]
    newest = lines[0].event.seq if lines else 0
    return {
        "address": address,
        "days": group_by_day(lines, time_format.get_time_zone(request.user.timezone)),
        "shown": len(lines),
        "total": found.total,
        "earlier": lines[-1].event.seq if found.total > len(lines) else 0,
        "newest": newest,
        "cards_by_agent": {
            card.agent.id: card for card in await agents.list_agent_cards(session, member)
        },
        "filter_options": [(kind, label) for kind, (label, _) in EVENT_KINDS.items()],
    }
