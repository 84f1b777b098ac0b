"""Query parameters of a board page: view, filters and sort order."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams

from core.text import is_storable
from models import Priority, Status
from services.tasks import BoardFilters

VIEWS = ("board", "list")
SORTS = ("title", "priority", "assignee", "due")
UNASSIGNED = "nobody"
DEFAULTS = {"view": "board", "sort": "due"}


@dataclass(frozen=True)
class BoardAddress:
    """How a board is shown. Invalid parameters are ignored."""

    view: str = "board"
    q: str = ""
    agent: str = ""  # an id, or UNASSIGNED
    tag: str = ""  # slug
    priority: str = ""
    needs: bool = False
    blocked: bool = False
    sort: str = "due"  # of the list; "-due" for descending order
    column: str = ""  # the column that a phone shows
    done: bool = False  # whether the Done column is expanded

    @classmethod
    def from_query(cls, query: QueryParams) -> "BoardAddress":
        """Parse the query of a request."""

        def text(name: str) -> str:
            value = query.get(name, "").strip()[:200]
            return value if is_storable(value) else ""

        return cls(
            view=_allowed_value(VIEWS, text("view")) or "board",
            q=text("q"),
            agent=_parse_agent(text("agent")),
            tag=text("tag"),
            priority=_allowed_value(tuple(Priority), text("priority")),
            needs=text("needs") == "1",
            blocked=text("blocked") == "1",
            sort=_parse_sort(text("sort")),
            column=_allowed_value(tuple(Status), text("column")),
            done=text("done") == "1",
        )

    @property
    def filters(self) -> BoardFilters:
        """Return the filters of the cards."""
        return BoardFilters(
            q=self.q,
            agent=UUID(self.agent) if self.agent not in ("", UNASSIGNED) else None,
            unassigned=self.agent == UNASSIGNED,
            tag=self.tag or None,
            priority=self.priority or None,
            needs_approval=self.needs,
            blocked=self.blocked,
        )

    @property
    def is_unfiltered_board(self) -> bool:
        """Return whether the board is shown without a filter, so that a change keeps its cards."""
        return self.view == "board" and not self.filters.is_narrowed

    @property
    def extra_filter_count(self) -> int:
        """Return the number of active filters that are not always visible."""
        return sum(map(bool, (self.agent, self.tag, self.priority)))

    @property
    def query(self) -> str:
        """Return the query with its question mark, or "" if everything has its default."""
        parameters = {
            name: "1" if value is True else value
            for name, value in vars(self).items()
            if value and value != DEFAULTS.get(name)
        }
        return f"?{urlencode(parameters)}" if parameters else ""

    def query_with(self, **changes: Any) -> str:
        """Return the query with some parameters changed."""
        return replace(self, **changes).query

    def sort_direction(self, name: str) -> str:
        """Return the direction of a sort column for `aria-sort`, or ""."""
        if self.sort.lstrip("-") != name:
            return ""
        return "descending" if self.sort.startswith("-") else "ascending"

    def sort_query(self, name: str) -> str:
        """Return the query that sorts the list by a column, or reverses its order."""
        return self.query_with(sort=f"-{name}" if self.sort == name else name)


def _allowed_value(known: tuple[str, ...], value: str) -> str:
    return value if value in known else ""


def _parse_sort(value: str) -> str:
    return value if value.removeprefix("-") in SORTS else "due"


def _parse_agent(value: str) -> str:
    try:
        return value if value == UNASSIGNED else str(UUID(value))
    except ValueError:
        return ""
