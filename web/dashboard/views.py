"""The dashboard, and its panels. A panel that fails leaves the others.

The sessions of gateways are queried after the page is shown, all at the same time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.clock import now
from core.db.reads import ReadFactory, Source
from core.http.request import get_settings, open_reader
from core.paging import Paging
from models import Member
from services import activity, agents, boards, gateways, inbox, metrics, organizations
from services.activity import ActivityFilters
from services.agents import AgentProblem, AgentProblemCount
from services.gateways import GatewaySummary, SessionOwners
from services.inbox import WaitingFilter
from services.metrics import RANGES
from services.pickers import PickerKind
from web.activity.presenter import ALL_TYPES, build_activity_line
from web.agents.presenter import format_duration
from web.approvals.inbox import build_item
from web.auth.viewer import current_member
from web.dashboard.charts import build_key_metrics, format_value
from web.gateways.presenter import describe_status, describe_status_evidence
from web.gateways.session_presenter import SessionRow, build_session_rows
from web.gateways.session_views import query_gateway
from web.pickers import load_chosen
from web.ui import forms
from web.ui.layout import PageLayout, load_layout
from web.ui.render import render_page, render_part
from web.ui.translation import N_, translate

DEFAULT_RANGE = "7d"
WORK_CHART, CYCLE_TIME_CHART = "work", "time"

RANGE_TEXTS: Mapping[str, tuple[str, str]] = {
    "24h": (N_("24h"), N_("Last 24 hours")),
    "3d": (N_("3d"), N_("Last 3 days")),
    "7d": (N_("7d"), N_("Last 7 days")),
    "14d": (N_("14d"), N_("Last 14 days")),
    "1m": (N_("1m"), N_("Last 30 days")),
    "3m": (N_("3m"), N_("Last 3 months")),
    "6m": (N_("6m"), N_("Last 6 months")),
    "1y": (N_("1y"), N_("Last 12 months")),
}
"""The short and the full name of each range."""

TEMPLATE_FUNCTIONS: dict[str, Any] = {
    "describe_evidence": describe_status_evidence,
    "describe_status": describe_status,
    "format_duration": format_duration,
    "format_value": format_value,
}

MAX_GATEWAYS = 5  # that are queried
MAX_SESSIONS = 5  # that are shown
MAX_APPROVALS = 5  # items that are listed
MAX_EVENTS = 8  # events that are listed
MAX_CLAUSES = 3  # of the summary
PAGE_PANELS = ("summary", "figures", "approvals", "activity")
ADMIN_PANELS = (*PAGE_PANELS, "gateways")


@dataclass(frozen=True)
class DashboardQuery:
    """Query parameters of the dashboard. Invalid parameters are ignored.

    `after` is for reloading: newer events are only counted.
    """

    range: str = DEFAULT_RANGE
    board: str = ""
    group: str = ""  # ignored with a board
    chart: str = WORK_CHART
    after: int = 0  # the number of an event

    @classmethod
    def from_query(cls, query: QueryParams) -> "DashboardQuery":
        """Parse the query of a request."""
        range, board = query.get("range", ""), forms.parse_id(query.get("board"))
        group = None if board else forms.parse_id(query.get("group"))
        return cls(
            range=range if range in RANGES else DEFAULT_RANGE,
            board=str(board or ""),
            group=str(group or ""),
            chart=CYCLE_TIME_CHART if query.get("chart") == CYCLE_TIME_CHART else WORK_CHART,
            after=forms.parse_number(query.get("after")),
        )

    @property
    def board_id(self) -> UUID | None:
        """Return the board that is shown, or None for several."""
        return forms.parse_id(self.board)

    @property
    def group_id(self) -> UUID | None:
        """Return the group whose boards are shown, or None."""
        return forms.parse_id(self.group)

    def query_with(self, **changes: Any) -> str:
        """Return the query with some parameters changed, without those that have their default."""
        changed, defaults = vars(replace(self, **changes)), vars(DashboardQuery())
        given = {name: value for name, value in changed.items() if value != defaults[name]}
        return f"?{urlencode(given)}" if given else ""


async def show_dashboard(request: Request) -> Response:
    """Show all panels that the member may see."""
    layout = await load_layout(request)
    member = current_member(request)
    names = ADMIN_PANELS if member.is_admin else PAGE_PANELS
    loaded = await _load_context(request, names, layout)
    async with open_reader(request) as source:
        address, empty = loaded["address"], forms.Form()
        groups = await boards.list_groups(source, member, Paging(1))
        boards_chosen, groups_chosen = [
            await load_chosen(source, member, kind, name, empty, [given])
            for kind, name, given in (
                (PickerKind.BOARDS, "board", address.board),
                (PickerKind.GROUPS, "group", address.group),
            )
        ]
    return render_page(
        request,
        "dashboard/index.html",
        layout=layout,
        has_groups=groups.total > 0,
        chosen_board=boards_chosen,
        chosen_group=groups_chosen,
        ranges=[(key, translate(short)) for key, (short, _) in RANGE_TEXTS.items()],
        **loaded,
    )


async def show_summary(request: Request) -> Response:
    """Show the summary."""
    context = await _load_context(request, ["summary"], await load_layout(request))
    return render_part(request, "dashboard/_summary.html", **context)


async def show_figures(request: Request) -> Response:
    """Show the figures and the charts."""
    context = await _load_context(request, ["figures"], await load_layout(request))
    return render_part(request, "dashboard/_figures_update.html", **context)


async def show_approvals(request: Request) -> Response:
    """Show the newest pending approvals."""
    context = await _load_context(request, ["approvals"])
    return render_part(request, "dashboard/_approvals.html", **context)


async def show_gateways(request: Request) -> Response:
    """Show the gateways. Raises Forbidden for members who are not admins."""
    organizations.require_admin(current_member(request))
    context = await _load_context(request, ["gateways"])
    return render_part(request, "dashboard/_gateways.html", **context)


async def show_activity(request: Request) -> Response:
    """Show the newest events."""
    context = await _load_context(request, ["activity"])
    return render_part(request, "dashboard/_activity.html", **context)


async def show_news(request: Request) -> Response:
    """Show the number of events since those that are shown."""
    context = await _load_context(request, ["news"])
    return render_part(request, "dashboard/_news.html", **context)


async def _load_context(
    request: Request, names: list[str] | tuple[str, ...], layout: PageLayout | None = None
) -> dict[str, Any]:
    """Load panels for the address. Raises NotFound or Forbidden for its board or group."""
    member, address = current_member(request), DashboardQuery.from_query(request.query_params)
    async with open_reader(request) as source:
        board_ids = await load_board_ids(source, member, address)
    offline_after = get_settings(request).offline_after
    scope = DashboardScope(member, address, board_ids, offline_after, layout)
    loaded = await load_panels(partial(open_reader, request), scope, names)
    return {
        "address": address,
        "range_name": translate(RANGE_TEXTS[address.range][1]),
        "is_admin": member.is_admin,
        **TEMPLATE_FUNCTIONS,
        **loaded,
    }


class GatewaySession(NamedTuple):
    """A session, and the gateway that it is on."""

    summary: GatewaySummary
    row: SessionRow
    is_main: bool  # of the agent that manages the gateway


class GatewayProblem(NamedTuple):
    """A gateway that did not reply, and why."""

    summary: GatewaySummary
    text: str


async def show_sessions(request: Request) -> Response:
    """Show the fullest sessions. Raises Forbidden for members who are not admins."""
    member = current_member(request)
    organizations.require_admin(member)
    address = DashboardQuery.from_query(request.query_params)
    async with open_reader(request) as source:
        board_ids = await load_board_ids(source, member, address)
        summaries = await gateways.list_gateway_summaries(source, member)
        connected = [one for one in summaries if one.status == "connected"][:MAX_GATEWAYS]
        owners = [
            await gateways.load_session_owners(source, member.user, one.gateway)
            for one in connected
        ]
    found = await asyncio.gather(*map(partial(_load_sessions, request), connected, owners))
    sessions = [one for rows, _problem in found for one in rows]
    if board_ids is not None:
        sessions = [
            one for one in sessions if one.row.owner and one.row.owner.agent.board_id in board_ids
        ]
    sessions.sort(key=lambda one: one.row.context_percent or 0, reverse=True)
    return render_part(
        request,
        "dashboard/_sessions.html",
        address=address,
        is_loaded=True,
        sessions=sessions[:MAX_SESSIONS],
        problems=[problem for _rows, problem in found if problem],
        has_connection=bool(connected),
    )


async def _load_sessions(
    request: Request, summary: GatewaySummary, owners: SessionOwners
) -> tuple[Sequence[GatewaySession], GatewayProblem | None]:
    """Query a gateway; return its sessions whose context is known and that the member may read."""
    main_key = summary.gateway.session_key
    query = partial(gateways.list_sessions, main_key=main_key)
    result, problem = await query_gateway(request, summary, query)
    if result is None:
        return [], GatewayProblem(summary, problem)
    rows = build_session_rows(result, owners)
    return [
        GatewaySession(summary, row, row.key == main_key)
        for row in rows
        if row.context_percent is not None and not row.is_hidden
    ], None


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DashboardScope:
    """For whom and for which boards the panels are loaded."""

    member: Member
    address: DashboardQuery
    board_ids: Collection[UUID] | None  # None: all that the member may read
    offline_after: timedelta
    layout: PageLayout | None = None  # needed by the summary and the figures

    @property
    def waiting_count(self) -> int:
        """Return how many items of the shown boards wait for the member."""
        assert self.layout is not None
        return self.layout.waiting.count(self.board_ids)

    def contains(self, board_id: UUID | None) -> bool:
        """Return whether a board is shown; what belongs to no board is shown with all boards."""
        return self.board_ids is None or board_id in self.board_ids


@dataclass(frozen=True)
class SummaryClause:
    """A fact of the summary. The template has the text of each kind."""

    kind: str  # waiting, gateways, failed, away or silent
    count: int
    name: str = ""  # of the agent, if it is only one
    silent_for: timedelta | None = None


async def load_board_ids(
    source: Source, member: Member, address: DashboardQuery
) -> Collection[UUID] | None:
    """Return the boards of the address; None for all. Raises NotFound and Forbidden."""
    if address.board_id is not None:
        return {(await boards.get_board_permissions(source, member, address.board_id)).board.id}
    if address.group_id is None:
        return None
    group = await boards.get_group(source, member.user, address.group_id)
    return {board.id for board in await boards.list_boards_of_group(source, member, group.id)}


async def load_panels(
    open_source: ReadFactory, scope: DashboardScope, names: Iterable[str]
) -> dict[str, Mapping[str, Any] | None]:
    """Load panels, each on a connection of its own. One that fails is logged, and is None."""
    loaded: dict[str, Mapping[str, Any] | None] = {}
    for name in names:
        try:
            async with open_source() as source:
                loaded[name] = await PANELS[name](source, scope)
        except (ConnectionError, TimeoutError):  # no connection: the others would wait, too
            raise
        except Exception:
            log.exception("The panel %r of the dashboard could not be loaded.", name)
            loaded[name] = None
    return loaded


async def load_summary(source: Source, scope: DashboardScope) -> Mapping[str, Any]:
    """Load what needs attention."""
    assert scope.layout is not None
    problems = await agents.count_agent_problems(
        source, scope.member, board_ids=scope.board_ids, offline_after=scope.offline_after
    )
    return {"clauses": build_clauses(scope, scope.layout, problems)[:MAX_CLAUSES]}


def build_clauses(
    scope: DashboardScope, layout: PageLayout, problems: Mapping[AgentProblem, AgentProblemCount]
) -> list[SummaryClause]:
    """Return what needs attention, the most important first."""
    found = [
        SummaryClause("waiting", scope.waiting_count),
        SummaryClause("gateways", layout.sidebar.gateways_down),
        *(_build_agent_clause(problems[one]) for one in AgentProblem if one in problems),
    ]
    is_explained = layout.sidebar.gateways_down > 0
    return [
        clause
        for clause in found
        if clause.count and not (is_explained and clause.kind == AgentProblem.AWAY)
    ]


def _build_agent_clause(found: AgentProblemCount) -> SummaryClause:
    if found.count > 1:
        return SummaryClause(found.problem, found.count)
    silent_for = now() - found.last_seen_at if found.last_seen_at else None
    return SummaryClause(found.problem, 1, found.name, silent_for)


async def load_figures(source: Source, scope: DashboardScope) -> Mapping[str, Any]:
    """Load the figures and charts."""
    address = scope.address
    found = await metrics.load_dashboard(
        source,
        scope.member,
        address.range,
        now(),
        board_id=address.board_id,
        group_id=address.group_id,
    )
    return {"figures": build_key_metrics(found), "waiting_count": scope.waiting_count}


async def load_approvals(source: Source, scope: DashboardScope) -> Mapping[str, Any]:
    """Load the items that wait longest for a decision, and how many wait for the member."""
    listed = WaitingFilter(scope.board_ids)
    known = scope.layout.waiting if scope.layout else None
    page, counts = await inbox.load_waiting_page(
        source, scope.member, listed, MAX_APPROVALS, counts=known
    )
    return {
        "items": [build_item(one, scope.member) for one in page.items],
        "total": page.total,
        "own_count": counts.count(scope.board_ids),
    }


async def _load_gateways(source: Source, scope: DashboardScope) -> Mapping[str, Any]:
    """Load the gateways of the organization, for admins."""
    return {"summaries": await gateways.list_gateway_summaries(source, scope.member)}


async def load_activity(source: Source, scope: DashboardScope) -> Mapping[str, Any]:
    """Load the newest events, without their texts."""
    filters, member = build_activity_filters(scope.address), scope.member
    found = await activity.list_member_activity(source, member, Paging(MAX_EVENTS), filters)
    lines = [build_activity_line(entry, member) for entry in found.items]
    shown = {line.agent_id for line in lines if line.agent_id}
    cards = await agents.load_agent_cards(source, member, shown, offline_after=scope.offline_after)
    newest = lines[0].event.seq if lines else 0
    return {
        "lines": [replace(line, body="", confidence="") for line in lines],
        "cards_by_agent": cards,
        "new_count": 0,
        "news_query": scope.address.query_with(after=newest),
    }


async def load_news(source: Source, scope: DashboardScope) -> Mapping[str, Any]:
    """Count the events after those that are shown."""
    address = scope.address
    filters = replace(build_activity_filters(address), after=address.after)
    count = await activity.count_new_activity(source, scope.member, filters)
    return {
        "new_count": count,
        "max_new": activity.MAX_NEW,
        "news_query": address.query_with(),
    }


def build_activity_filters(address: DashboardQuery) -> ActivityFilters:
    """Return the filters of the feed for the boards of an address."""
    return ActivityFilters(ALL_TYPES, board_id=address.board_id, group_id=address.group_id)


PANELS: Mapping[str, Callable[[Source, DashboardScope], Awaitable[Mapping[str, Any]]]] = {
    "summary": load_summary,
    "figures": load_figures,
    "approvals": load_approvals,
    "gateways": _load_gateways,
    "activity": load_activity,
    "news": load_news,
}
"""What loads each panel, by its name."""


ROUTES = [
    Route("/dashboard", show_dashboard, name="dashboard"),
    Route("/dashboard/summary", show_summary),
    Route("/dashboard/figures", show_figures),
    Route("/dashboard/approvals", show_approvals),
    Route("/dashboard/gateways", show_gateways),
    Route("/dashboard/sessions", show_sessions),
    Route("/dashboard/activity", show_activity),
    Route("/dashboard/activity/news", show_news),
]
"""The routes of the dashboard, for members."""
