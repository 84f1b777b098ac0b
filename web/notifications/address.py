"""Query parameters of the page of notifications: filters and offset."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams

from services.notifications import KindGroup, NotificationFilters
from web.ui import forms
from web.ui.translation import N_, translate

PAGE_SIZE = 50  # notifications

GROUP_NAMES = {
    KindGroup.DECISIONS: N_("Decisions"),
    KindGroup.TASKS: N_("Tasks"),
    KindGroup.AGENTS: N_("Agents and gateways"),
    KindGroup.ACCOUNT: N_("Account"),
}


def describe_group(group: KindGroup) -> str:
    """Name a group of kinds in the reader's language."""
    return translate(GROUP_NAMES[group])


@dataclass(frozen=True)
class NotificationAddress:
    """Which notifications are shown. Invalid parameters are ignored."""

    unread: str = ""  # "1", or all
    group: str = ""
    board: str = ""
    offset: int = 0

    @classmethod
    def from_query(cls, query: QueryParams) -> "NotificationAddress":
        """Parse the query of a request."""
        group = query.get("group", "")
        return cls(
            unread="1" if query.get("unread") == "1" else "",
            group=group if group in tuple(KindGroup) else "",
            board=str(forms.parse_id(query.get("board")) or ""),
            offset=forms.parse_offset(query),
        )

    @property
    def board_id(self) -> UUID | None:
        """Return the chosen board."""
        return forms.parse_id(self.board)

    @property
    def is_narrowed(self) -> bool:
        """Return whether a filter is set."""
        return bool(self.unread or self.group or self.board)

    def build_filters(self) -> NotificationFilters:
        """Return the filters."""
        group = KindGroup(self.group) if self.group else None
        return NotificationFilters(bool(self.unread), group, self.board_id)

    def url_with(self, **changes: Any) -> str:
        """Return the address of the first page with some parameters changed, or another page."""
        return f"/notifications{self.query_with(**changes)}"

    def query_with(self, **changes: Any) -> str:
        """Return the query of the same."""
        values = vars(replace(self, **{"offset": 0, **changes}))
        parameters = {name: value for name, value in values.items() if value}
        return f"?{urlencode(parameters)}" if parameters else ""
