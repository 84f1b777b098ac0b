"""Data of board groups for the templates."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams

from core.db.reads import Source
from core.paging import Paging
from models import Agent, Board, BoardGroup, Member
from services import agents, boards
from web.ui.translation import _, ngettext

PRESETS = {
    "30s": timedelta(seconds=30),
    "1m": timedelta(minutes=1),
    "2m": timedelta(minutes=2),
    "5m": timedelta(minutes=5),
    "10m": timedelta(minutes=10),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
}
"""The heartbeat intervals to choose from, as the API writes them."""

OTHER = "other"  # the interval is entered as a number and a unit
MINUTE, HOUR = 60, 3_600  # seconds
TASK_LIMITS = (0, 3, 5, 10)
DEFAULT_TASK_LIMIT = 3


@dataclass(frozen=True)
class GroupLine:
    """A line of the list of groups, with numbers of the boards that the member may read."""

    group: BoardGroup
    board_count: int
    open_task_count: int


@dataclass(frozen=True)
class GroupView:
    """Which tasks the page of a group shows."""

    task_limit: int = DEFAULT_TASK_LIMIT  # of each board
    include_done: bool = False

    @classmethod
    def from_query(cls, query: QueryParams) -> "GroupView":
        """Parse the query of a request. Invalid parameters are ignored."""
        limits = {str(limit): limit for limit in TASK_LIMITS}
        limit = limits.get(query.get("tasks", ""), DEFAULT_TASK_LIMIT)
        return cls(limit, query.get("done") == "1")

    def build_query(self, **changes: Any) -> str:
        """Return the query of this view with changes, or "" for the default view."""
        view, query = replace(self, **changes), {}
        if view.task_limit != DEFAULT_TASK_LIMIT:
            query["tasks"] = view.task_limit
        if view.include_done:
            query["done"] = 1
        return f"?{urlencode(query)}" if query else ""


async def list_all_groups(source: Source, member: Member) -> Sequence[BoardGroup]:
    """Return all groups that the member may read, by name."""
    found: list[BoardGroup] = []
    while True:
        page = await boards.list_groups(source, member, Paging(offset=len(found)))
        found += page.items
        if not page.items or len(found) >= page.total:
            return found


async def list_group_lines(source: Source, member: Member) -> Sequence[GroupLine]:
    """Return the groups that the member may read, by name."""
    counts = await boards.count_boards_of_groups(source, member)
    return [
        GroupLine(group, *counts.get(group.id, (0, 0)))
        for group in await list_all_groups(source, member)
    ]


def group_agents_by_board(
    group_boards: Sequence[Board], group_agents: Sequence[Agent]
) -> list[tuple[Board, list[Agent]]]:
    """Return the boards that have agents, in their order, each with its agents."""
    by_board: Mapping[UUID | None, list[Agent]] = defaultdict(list)
    for agent in group_agents:
        by_board[agent.board_id].append(agent)
    return [(board, by_board[board.id]) for board in group_boards if by_board[board.id]]


def find_common_interval(group_agents: Sequence[Agent]) -> str:
    """Return the preset that all agents have, or "" if there is none."""
    intervals = {agents.heartbeat_interval(agent) for agent in group_agents}
    if len(intervals) != 1:
        return ""
    [common] = intervals
    return next((name for name, interval in PRESETS.items() if interval == common), "")


def list_interval_options() -> list[tuple[str, str]]:
    """Return the intervals to choose from, and the option to enter another one."""
    presets = [(name, format_interval(interval)) for name, interval in PRESETS.items()]
    return [*presets, (OTHER, _("Other interval"))]


def describe_interval(agent: Agent) -> str:
    """Return the heartbeat interval of an agent as a text."""
    return format_interval(agents.heartbeat_interval(agent))


def format_interval(interval: timedelta | None) -> str:
    """Format an interval in its largest unit without a remainder."""
    if interval is None:
        return _("No heartbeat")
    seconds = round(interval.total_seconds())
    if seconds % HOUR == 0:
        return ngettext("%(num)d hour", "%(num)d hours", seconds // HOUR)
    if seconds % MINUTE == 0:
        return ngettext("%(num)d minute", "%(num)d minutes", seconds // MINUTE)
    return ngettext("%(num)d second", "%(num)d seconds", seconds)
