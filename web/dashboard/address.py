"""The address of the dashboard: the range, the boards, and the second chart."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams

from services.metrics import RANGES
from web.ui import forms
from web.ui.translation import N_

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


@dataclass(frozen=True)
class DashboardAddress:
    """Query parameters of the dashboard. Invalid parameters are ignored.

    `after` is for reloading: newer events are only counted.
    """

    range: str = DEFAULT_RANGE
    board: str = ""
    group: str = ""  # ignored with a board
    chart: str = WORK_CHART
    after: int = 0  # the number of an event

    @classmethod
    def from_query(cls, query: QueryParams) -> "DashboardAddress":
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
        changed, defaults = vars(replace(self, **changes)), vars(DashboardAddress())
        given = {name: value for name, value in changed.items() if value != defaults[name]}
        return f"?{urlencode(given)}" if given else ""
