"""Query parameters of the search page: words, filters and offset."""

from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from core.text import is_storable
from models import Status
from services.search import MAX_MATCHES, ResultKind, SearchFilters
from web.ui import forms, time_format

MAX_QUERY_LENGTH = 200  # characters
PAGE_SIZE = 20  # results


@dataclass(frozen=True)
class SearchAddress:
    """What is searched, and which page of the results is shown. Invalid parameters are ignored."""

    q: str = ""
    kind: str = ""
    board: str = ""
    status: str = ""
    assignee: str = ""
    author: str = ""
    since: str = ""
    until: str = ""
    offset: int = 0

    @classmethod
    def from_query(cls, query: QueryParams) -> "SearchAddress":
        """Parse the query of a request. Only the first MAX_QUERY_LENGTH characters are searched."""
        q = query.get("q", "").strip()[:MAX_QUERY_LENGTH]
        offset = min(forms.parse_number(query.get("offset")), MAX_MATCHES * len(ResultKind))
        return cls(
            q=q if is_storable(q) else "",
            kind=_known(tuple(ResultKind), query.get("kind")),
            board=str(forms.parse_id(query.get("board")) or ""),
            status=_known(tuple(Status), query.get("status")),
            assignee=str(forms.parse_id(query.get("assignee")) or ""),
            author=str(forms.parse_id(query.get("author")) or ""),
            since=str(time_format.parse_day(query.get("since")) or ""),
            until=str(time_format.parse_day(query.get("until")) or ""),
            offset=offset - offset % PAGE_SIZE,
        )

    def build_filters(self, zone: tzinfo) -> SearchFilters:
        """Return the filters; days are those of the reader, and include the last one."""
        until = time_format.parse_day(self.until)
        return SearchFilters(
            kind=ResultKind(self.kind) if self.kind else None,
            board_id=forms.parse_id(self.board),
            status=Status(self.status) if self.status else None,
            assignee_id=forms.parse_id(self.assignee),
            author_id=forms.parse_id(self.author),
            since=time_format.start_of_day(time_format.parse_day(self.since), zone),
            until=time_format.start_of_day(until, zone, days_later=1),
        )

    @property
    def is_filtered(self) -> bool:
        """Return whether a filter other than the kind is set."""
        return any((self.board, self.status, self.assignee, self.author, self.since, self.until))

    def query_with(self, **changes: Any) -> str:
        """Return the query of the first page with some parameters changed, or of another page."""
        values = vars(replace(self, **{"offset": 0, **changes}))
        parameters = {name: value for name, value in values.items() if value}
        return f"?{urlencode(parameters)}" if parameters else ""


def _known(values: tuple[str, ...], value: str | None) -> str:
    return value if value in values else ""
