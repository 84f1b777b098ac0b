"""What the address of a board's page says: how the board is shown, and which of its tasks."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request

from kit.text import storable
from models import Priority, Status
from services.tasks import BoardFilters

VIEWS = ("board", "list")
SORTS = ("title", "priority", "assignee", "due")
NOBODY = "nobody"
DEFAULTS = {"view": "board", "sort": "due"}


@dataclass(frozen=True)
class BoardAddress:
    """How a board is shown. A part of an address that makes no sense counts as not there."""

    view: str = "board"
    q: str = ""
    agent: str = ""  # an id, or NOBODY
    tag: str = ""  # its slug
    priority: str = ""
    needs: bool = False
    blocked: bool = False
    sort: str = "due"  # of the list; "-due" the other way round
    column: str = ""  # the one that a phone shows
    done: bool = False  # whether the column of what is done is open

    @classmethod
    def of(cls, request: Request) -> "BoardAddress":
        """Read the address of a request."""
        given = request.query_params

        def text(name: str) -> str:
            value = given.get(name, "").strip()[:200]
            return value if storable(value) else ""

        return cls(
            view=_one_of(VIEWS, text("view")) or "board",
            q=text("q"),
            agent=_agent(text("agent")),
            tag=text("tag"),
            priority=_one_of(tuple(Priority), text("priority")),
            needs=text("needs") == "1",
            blocked=text("blocked") == "1",
            sort=_sort(text("sort")),
            column=_one_of(tuple(Status), text("column")),
            done=text("done") == "1",
        )

    @property
    def filters(self) -> BoardFilters:
        """Which cards are shown."""
        return BoardFilters(
            q=self.q,
            agent=UUID(self.agent) if self.agent not in ("", NOBODY) else None,
            unassigned=self.agent == NOBODY,
            tag=self.tag or None,
            priority=self.priority or None,
            needs=self.needs,
            blocked=self.blocked,
        )

    @property
    def more(self) -> int:
        """How many filters are set that are not always in sight."""
        return sum(map(bool, (self.agent, self.tag, self.priority)))

    @property
    def query(self) -> str:
        """The address's query, with its question mark, "" if there is nothing to say."""
        said = {
            name: "1" if value is True else value
            for name, value in vars(self).items()
            if value and value != DEFAULTS.get(name)
        }
        return f"?{urlencode(said)}" if said else ""

    def but(self, **changes: Any) -> str:
        """Return the query of an address that differs in a few things."""
        return replace(self, **changes).query

    def sorted_by(self, name: str) -> str:
        """Say how the list is sorted by a column, for `aria-sort`, "" if it is not."""
        if self.sort.lstrip("-") != name:
            return ""
        return "descending" if self.sort.startswith("-") else "ascending"

    def turned(self, name: str) -> str:
        """Return the query of the list sorted by a column, the other way round if it is already."""
        return self.but(sort=f"-{name}" if self.sort == name else name)


def _one_of(known: tuple[str, ...], value: str) -> str:
    return value if value in known else ""


def _sort(value: str) -> str:
    return value if value.removeprefix("-") in SORTS else "due"


def _agent(value: str) -> str:
    try:
        return value if value == NOBODY else str(UUID(value))
    except ValueError:
        return ""
