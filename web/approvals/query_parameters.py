"""Query parameters of the inbox "Needs you"."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams

from models import RiskLevel
from services.inbox import WaitingFilter, WaitingKey, WaitingOrder
from web.ui import forms

DECIDED_STATES = ("decided", "gateways")
ORDERS = [one.value for one in WaitingOrder]
HASH = re.compile("[0-9a-f]{64}")
MAX_CONFIDENCE = 100
MAX_FILTER_VALUES = 50  # of one filter
MAX_KIND_LENGTH = 200  # characters
MAX_KEY_LENGTH = 200  # characters of the text in a place
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class InboxAddress:
    """Query parameters of the inbox.

    `start` is the place of the first pending item of the page, and `before` that of the first one
    after it, as `format_key` writes it. Without them the page has the first items.
    """

    state: str = "waiting"  # or "decided", or "gateways" for decided gateway requests
    board: tuple[str, ...] = ()  # ids; of agents too
    agent: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    risk: tuple[str, ...] = ()
    order: str = WaitingOrder.AGE.value
    group: str = ""  # the hash of identical requests that are shown one by one
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
            board=_parse_ids(query.getlist("board")),
            agent=_parse_ids(query.getlist("agent")),
            kind=_parse_texts(query.getlist("kind")),
            risk=tuple(one for one in RiskLevel if one in query.getlist("risk")),
            order=query.get("order", "") if query.get("order") in ORDERS else ORDERS[0],
            group=query.get("group", "") if HASH.fullmatch(query.get("group", "")) else "",
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
        defaults = vars(InboxAddress())
        parameters = {
            name: value for name, value in vars(self).items() if value and value != defaults[name]
        }
        return f"?{urlencode(parameters, doseq=True)}" if parameters else ""

    def query_with(self, **changes: Any) -> str:
        """Return the query with some parameters changed; `all` is for the same item only."""
        return replace(self, **({"all": 0} | changes)).query

    def list_query(self, **changes: Any) -> str:
        """Return the query of the first page of another list: with another filter or state."""
        first = {"start": "", "before": "", "offset": 0, "selected": "", "group": ""}
        return self.query_with(**(first | changes))

    def state_query(self, state: str) -> str:
        """Return the query of the list of a state. A filter by one board is kept."""
        return InboxAddress(state=state, board=self.board if self.board_id else ()).query

    @property
    def board_id(self) -> UUID | None:
        """Return the only board whose items are listed, or None."""
        return self.listed.only_board_id

    @property
    def listed(self) -> WaitingFilter:
        """Return which pending items are listed."""
        return WaitingFilter(
            [UUID(id) for id in self.board] or None,
            self.min,
            [UUID(id) for id in self.agent],
            self.kind,
            [RiskLevel(one) for one in self.risk],
        )

    @property
    def filter_count(self) -> int:
        """Return how many filters the list has, apart from that of one board."""
        boards = self.board if len(self.board) > 1 else ()
        return len([*boards, *self.agent, *self.kind, *self.risk]) + bool(self.min)


def _parse_ids(texts: list[str]) -> tuple[str, ...]:
    ids = map(forms.parse_id, texts[:MAX_FILTER_VALUES])
    return tuple(dict.fromkeys(str(id) for id in ids if id is not None))


def _parse_texts(texts: list[str]) -> tuple[str, ...]:
    found = (text for text in texts[:MAX_FILTER_VALUES] if text and "\0" not in text)
    return tuple(dict.fromkeys(text for text in found if len(text) <= MAX_KIND_LENGTH))


def format_key(key: WaitingKey) -> str:
    """Format a place in the list for an address."""
    time = (key.requested_at - EPOCH) // MICROSECOND
    place = f"{int(key.waits_for_others)}.{time}.{key.id}"
    return f"{place}.{key.sort}" if key.sort else place


def parse_key(text: str) -> WaitingKey | None:
    """Return the place that `format_key` has formatted; None for any other text."""
    others, _, rest = text.partition(".")
    time, _, rest = rest.partition(".")
    id, _, sort = rest.partition(".")
    number, item_id = forms.parse_number(time), forms.parse_id(id)
    if others not in ("0", "1") or item_id is None or "\0" in sort or len(sort) > MAX_KEY_LENGTH:
        return None
    return WaitingKey(others == "1", sort, EPOCH + number * MICROSECOND, item_id)
