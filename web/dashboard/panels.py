"""The panels of the dashboard: what each of them loads. A panel that fails leaves the others."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from core.clock import now
from core.db.reads import ReadFactory, Source
from core.paging import Paging
from models import Member
from services import activity, agents, boards, gateways, inbox, metrics
from services.activity import ActivityFilters
from services.agents import AgentCard, AgentState, StatusSource
from services.inbox import WaitingFilter
from web.activity.presenter import ALL_TYPES, build_activity_line
from web.approvals.items import build_item
from web.boards.presenter import load_board_access
from web.dashboard.address import DashboardAddress
from web.dashboard.figures import build_figures
from web.groups.presenter import list_boards_of_group
from web.ui.layout import PageLayout

log = logging.getLogger(__name__)

MAX_APPROVALS = 5  # items that are listed
MAX_EVENTS = 8  # events that are listed
MAX_CLAUSES = 3  # of the summary

PAGE_PANELS = ("summary", "figures", "approvals", "activity")
ADMIN_PANELS = (*PAGE_PANELS, "gateways")


@dataclass(frozen=True)
class DashboardScope:
    """For whom and for which boards the panels are loaded."""

    member: Member
    address: DashboardAddress
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
    source: Source, member: Member, address: DashboardAddress
) -> Collection[UUID] | None:
    """Return the boards of the address; None for all. Raises NotFound and Forbidden."""
    if address.board_id is not None:
        return {(await load_board_access(source, member, address.board_id)).board.id}
    if address.group_id is None:
        return None
    group = await boards.get_group(source, member.user, address.group_id)
    return {board.id for board in await list_boards_of_group(source, member, group.id)}


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
    cards = await agents.list_agent_cards(source, scope.member, offline_after=scope.offline_after)
    shown = [card for card in cards if scope.contains(card.agent.board_id)]
    return {"clauses": build_clauses(scope, scope.layout, shown)[:MAX_CLAUSES]}


def build_clauses(
    scope: DashboardScope, layout: PageLayout, cards: Sequence[AgentCard]
) -> list[SummaryClause]:
    """Return what needs attention, the most important first."""
    failed = [card for card in cards if card.evidence.source is StatusSource.FAILURE]
    others = [card for card in cards if card not in failed]
    away = [card for card in others if card.state is AgentState.AWAY]
    silent = [card for card in others if card.state in (AgentState.LATE, AgentState.OFFLINE)]
    found = [
        SummaryClause("waiting", scope.waiting_count),
        SummaryClause("gateways", layout.sidebar.gateways_down),
        _build_agent_clause("failed", failed),
        _build_agent_clause("away", [] if layout.sidebar.gateways_down else away),
        _build_agent_clause("silent", [card for card in silent if card.silent_for is not None]),
    ]
    return [clause for clause in found if clause.count]


def _build_agent_clause(kind: str, cards: Sequence[AgentCard]) -> SummaryClause:
    if len(cards) != 1:
        return SummaryClause(kind, len(cards))
    return SummaryClause(kind, 1, cards[0].agent.name, cards[0].silent_for)


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
    return {"figures": build_figures(found), "waiting_count": scope.waiting_count}


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


async def load_gateways(source: Source, scope: DashboardScope) -> Mapping[str, Any]:
    """Load the gateways of the organization, for admins."""
    return {"summaries": await gateways.list_gateway_summaries(source, scope.member)}


async def load_activity(source: Source, scope: DashboardScope) -> Mapping[str, Any]:
    """Load the newest events, without their texts."""
    filters, member = build_activity_filters(scope.address), scope.member
    found = await activity.list_member_activity(source, member, Paging(MAX_EVENTS), filters)
    lines = [build_activity_line(entry, member) for entry in found.items]
    cards = await agents.list_agent_cards(source, member, offline_after=scope.offline_after)
    newest = lines[0].event.seq if lines else 0
    return {
        "lines": [replace(line, body="", confidence="") for line in lines],
        "cards_by_agent": {card.agent.id: card for card in cards},
        "new_count": 0,
        "news_query": scope.address.query_with(after=newest),
    }


async def load_news(source: Source, scope: DashboardScope) -> Mapping[str, Any]:
    """Count the events after those that are shown."""
    address = scope.address
    filters = replace(build_activity_filters(address), after=address.after)
    found = await activity.list_member_activity(source, scope.member, Paging(1), filters)
    return {"new_count": found.total, "news_query": address.query_with()}


def build_activity_filters(address: DashboardAddress) -> ActivityFilters:
    """Return the filters of the feed for the boards of an address."""
    return ActivityFilters(ALL_TYPES, board_id=address.board_id, group_id=address.group_id)


PANELS: Mapping[str, Callable[[Source, DashboardScope], Awaitable[Mapping[str, Any]]]] = {
    "summary": load_summary,
    "figures": load_figures,
    "approvals": load_approvals,
    "gateways": load_gateways,
    "activity": load_activity,
    "news": load_news,
}
"""What loads each panel, by its name."""
