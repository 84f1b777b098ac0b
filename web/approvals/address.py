"""The address of the inbox "Needs you"."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams

from web.ui import forms

DECIDED_STATES = ("decided", "gateways")
MICROSECONDS = 1_000_000
MAX_CONFIDENCE = 100


@dataclass(frozen=True)
class InboxAddress:
    """Query parameters of the inbox. Items requested after `until` are only counted."""

    state: str = "waiting"  # or "decided", or "gateways" for decided gateway requests
    board: str = ""
    until: int = 0  # microseconds since 1970; 0 for now
    selected: str = ""
    offset: int = 0
    min: int = 0  # lowest confidence of the pending approvals that are listed
    all: int = 0  # 1 to show everything of the selected item

    @classmethod
    def from_query(cls, query: QueryParams) -> "InboxAddress":
        """Parse the query of a request. Invalid parameters are ignored."""
        return cls(
            state=query.get("state", "") if query.get("state") in DECIDED_STATES else "waiting",
            board=str(forms.parse_id(query.get("board")) or ""),
            until=forms.parse_number(query.get("until")),
            selected=str(forms.parse_id(query.get("selected")) or ""),
            offset=forms.parse_number(query.get("offset")) % MICROSECONDS,
            min=min(forms.parse_number(query.get("min")), MAX_CONFIDENCE),
            all=int(query.get("all") == "1"),
        )

    @property
    def is_open(self) -> bool:
        """Return whether the pending items are listed."""
        return self.state == "waiting"

    @property
    def query(self) -> str:
        """Return the query with its question mark, or "" if everything has its default."""
        parameters = {
            name: value for name, value in vars(self).items() if value and value != "waiting"
        }
        return f"?{urlencode(parameters)}" if parameters else ""

    def query_with(self, **changes: Any) -> str:
        """Return the query with some parameters changed; `all` is for the same item only."""
        return replace(self, **({"all": 0} | changes)).query

    @property
    def board_id(self) -> UUID | None:
        """Return the board whose items are listed, or None for all boards."""
        return forms.parse_id(self.board)
