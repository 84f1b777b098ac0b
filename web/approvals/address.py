"""The address of the inbox "Needs you"."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams

from services.inbox import WaitingKey
from web.ui import forms

DECIDED_STATES = ("decided", "gateways")
MAX_CONFIDENCE = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class InboxAddress:
    """Query parameters of the inbox.

    `start` is the place of the first pending item of the page, and `before` that of the first one
    after it, as `format_key` writes it. Without them the page has the first items.
    """

    state: str = "waiting"  # or "decided", or "gateways" for decided gateway requests
    board: str = ""
    start: str = ""
    before: str = ""
    selected: str = ""
    offset: int = 0  # of decided items
    min: int = 0  # lowest confidence of the pending approvals that are listed
    all: int = 0  # 1 to show everything of the selected item

    @classmethod
    def from_query(cls, query: QueryParams) -> "InboxAddress":
        """Parse the query of a request. Invalid parameters are ignored."""
        start, before = (query.get(name, "") for name in ("start", "before"))
        return cls(
            state=query.get("state", "") if query.get("state") in DECIDED_STATES else "waiting",
            board=str(forms.parse_id(query.get("board")) or ""),
            start=start if parse_key(start) else "",
            before=before if parse_key(before) else "",
            selected=str(forms.parse_id(query.get("selected")) or ""),
            offset=forms.parse_offset(query),
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

    def list_query(self, **changes: Any) -> str:
        """Return the query of the first page of another list: with another filter or state."""
        first = {"start": "", "before": "", "offset": 0, "selected": ""}
        return self.query_with(**(first | changes))

    @property
    def board_id(self) -> UUID | None:
        """Return the board whose items are listed, or None for all boards."""
        return forms.parse_id(self.board)


def format_key(key: WaitingKey) -> str:
    """Format a place in the list for an address."""
    return f"{int(key.waits_for_others)}.{(key.requested_at - EPOCH) // MICROSECOND}.{key.id}"


def parse_key(text: str) -> WaitingKey | None:
    """Return the place that `format_key` has formatted; None for any other text."""
    others, _, rest = text.partition(".")
    time, _, id = rest.partition(".")
    number, item_id = forms.parse_number(time), forms.parse_id(id)
    if others not in ("0", "1") or item_id is None:
        return None
    return WaitingKey(others == "1", EPOCH + number * MICROSECOND, item_id)
