"""Query parameters of a board page: view, filters, sort order and columns."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams

from core.paging import MAX_CURSOR_LENGTH
from core.text import is_storable
from models import Priority, Status
from services.tasks import (
    CARDS_IN_COLUMN,
    ORDERS,
    BoardFilters,
    BoardOrder,
    DueGroup,
    TaskGrouping,
)
from web.boards.assignees import ME, UNASSIGNED
from web.ui.locale_middleware import reader_id
from web.ui.time_format import parse_day, parse_month

DEFAULT_SORTS = {"board": "manual", "list": "due", "calendar": "due"}
MAX_KEY_LENGTH = 1_000  # of a group; the longest is the name of a tag
LIST_ORDER = (Status.REVIEW, Status.IN_PROGRESS, Status.INBOX, Status.DONE)
TITLE = "title"  # the column that the list always shows
LIST_COLUMNS = (
    *("description", "flags", "approvals", "priority", "assignee", "tags", "due"),
    *("updated", "created"),
)
DEFAULT_COLUMNS = ("flags", "priority", "assignee", "tags", "due", "updated")
DEFAULTS: Mapping[str, object] = {"view": "board", "limit": CARDS_IN_COLUMN, "base": 1}
PLACE = ("only", "after", "before")
NOT_SAVED = ("column", "limit", "more", "month", "day", "saved", "base", *PLACE)
"""Parameters that are not part of a saved view."""
NO_VALUE, VALUE = "none", "is."  # of a group: without a value, and the beginning of one with it


@dataclass(frozen=True)
class BoardAddress:
    """How a board is shown. Invalid parameters are ignored."""

    view: str = "board"
    q: str = ""
    agent: str = ""  # of SEVERAL: ids of agents and people, UNASSIGNED and ME
    tag: str = ""  # slugs
    priority: str = ""
    status: str = ""
    not_agent: str = ""
    not_tag: str = ""
    needs: bool = False
    blocked: bool = False
    field: str = ""  # key of a custom field
    value: str = ""  # that the field has, or a part of it
    sort: str = ""  # "-due" for the opposite order, "" for the default of the view
    group: str = ""  # of the list: a TaskGrouping, "" for statuses
    only: str = ""  # the only group that the list shows: NO_VALUE, or VALUE and its key
    after: str = ""  # cursor in this group
    before: str = ""
    column: str = ""  # the column that a phone shows
    done: bool = False  # whether the Done column is expanded
    limit: int = CARDS_IN_COLUMN  # cards in each column or group
    more: str = ""  # the columns that show more, like "inbox.200,review.100"
    month: str = ""  # of the calendar, like "2026-11"
    day: str = ""  # of the calendar, of which all tasks are shown
    columns: str = ""  # of the list, joined by commas; "" for the default ones
    saved: str = ""  # id of the saved view that is shown
    base: int = 1  # the version of its query when it was opened
    names_view: bool = False  # whether a query without other parameters names the view

    @classmethod
    def from_query(cls, query: QueryParams) -> "BoardAddress":
        """Parse the query of a request."""

        def text(name: str, max_length: int = 200) -> str:
            value = query.get(name, "").strip()[:max_length]
            return value if is_storable(value) else ""

        view = _allowed_value(tuple(DEFAULT_SORTS), text("view")) or "board"
        is_calendar, sort = view == "calendar", text("sort")
        group = _allowed_value(tuple(TaskGrouping), text("group")) if view == "list" else ""
        only = text("only", MAX_KEY_LENGTH) if view == "list" else ""
        only = only if is_group(group, only) else ""
        field = text("field")
        is_of_field = text("value_of") in ("", field)  # else it was entered for the field before
        return cls(
            view=view,
            q=text("q"),
            **{name: _parse_several(query.getlist(name), parse) for name, parse in SEVERAL.items()},
            needs=text("needs") == "1",
            blocked=text("blocked") == "1",
            field=field,
            value=text("value") if is_of_field else "",
            sort=sort if sort.removeprefix("-") in ORDERS and sort != "-manual" else "",
            group=group,
            only=only,
            after=text("after", MAX_CURSOR_LENGTH) if only else "",
            before=text("before", MAX_CURSOR_LENGTH) if only else "",
            column=_allowed_value(tuple(Status), text("column")),
            done=text("done") == "1",
            limit=round_limit(_parse_number(text("limit"))),
            more=_join_limits(_parse_limits(text("more"))),
            month=text("month") if is_calendar and parse_month(text("month")) else "",
            day=text("day") if is_calendar and parse_day(text("day")) else "",
            columns=_parse_columns(query.getlist("columns")),
            saved=_parse_id(text("saved")),
            base=_parse_number(text("base")) or 1,
            names_view="view" in query,
        )

    @property
    def filters(self) -> BoardFilters:
        """Return the filters of the cards."""
        viewer_id = reader_id.get() or UUID(int=0)  # the id of no user

        def list_ids(name: str) -> tuple[UUID, ...]:
            ids = [one for one in self.list_values(name) if one != UNASSIGNED]
            return tuple(viewer_id if one == ME else UUID(one) for one in ids)

        return BoardFilters(
            q=self.q,
            assignees=list_ids("agent"),
            unassigned=UNASSIGNED in self.list_values("agent"),
            tags=self.list_values("tag"),
            priorities=self.list_values("priority"),
            statuses=tuple(map(Status, self.list_values("status"))),
            not_assignees=list_ids("not_agent"),
            not_unassigned=UNASSIGNED in self.list_values("not_agent"),
            not_tags=self.list_values("not_tag"),
            approver=viewer_id if self.needs else None,
            blocked=self.blocked,
            custom_field=(self.field, self.value) if self.field and self.value else None,
        )

    def list_values(self, name: str) -> tuple[str, ...]:
        """Return the values of one of SEVERAL."""
        text = vars(self)[name]
        return tuple(text.split(",")) if text else ()

    @property
    def shown_sort(self) -> str:
        """Return what the tasks are sorted by."""
        return self.sort or DEFAULT_SORTS[self.view]

    @property
    def shown_columns(self) -> tuple[str, ...]:
        """Return the columns of the list beside the titles."""
        if not self.columns:
            return DEFAULT_COLUMNS
        return tuple(name for name in self.columns.split(",") if name != TITLE)

    @property
    def is_manual(self) -> bool:
        """Return whether the tasks are in the order that people have given them."""
        return self.shown_sort == "manual"

    @property
    def order(self) -> BoardOrder:
        """Return the order of the tasks. A board without its Done column leaves its tasks out."""
        key, is_reversed = self.shown_sort.removeprefix("-"), self.shown_sort.startswith("-")
        if self.view == "list":
            return BoardOrder(key, is_reversed, statuses=LIST_ORDER)
        shown = [status for status in Status if self.done or status is not Status.DONE]
        return BoardOrder(key, is_reversed, in_sections=True, statuses=tuple(shown))

    @property
    def keeps_places(self) -> bool:
        """Return whether a change of a card's content changes no place on the board."""
        is_stable = self.shown_sort.removeprefix("-") in ("manual", "created")
        return self.view == "board" and is_stable and not self.filters.is_narrowed

    @property
    def extra_filter_count(self) -> int:
        """Return the number of active filters that are not always visible."""
        values = [vars(self)[name] for name in SEVERAL]
        return sum(map(bool, (*values, self.filters.custom_field)))

    def with_card_at(self, index: int) -> "BoardAddress":
        """Return the address that shows the card at this index of its column."""
        return replace(self, limit=max(self.limit, round_limit(index + 1)))

    @property
    def column_limits(self) -> dict[Status, int]:
        """Return how many cards of each column are shown."""
        own = _parse_limits(self.more)
        return {status: max(self.limit, own.get(status, 0)) for status in Status}

    def next_query(self, status: Status) -> str:
        """Return the query that shows more cards of a column, or "" if that is not possible."""
        shown = self.column_limits[status]
        more = round_limit(shown + 1)
        return self._query_with_limit(status, more) if more > shown else ""

    def query_for_all(self, status: Status, total: int) -> str:
        """Return the query that shows all cards of a column."""
        return self._query_with_limit(status, round_limit(total))

    def _query_with_limit(self, status: Status, limit: int) -> str:
        return self.query_with(more=_join_limits(_parse_limits(self.more) | {status: limit}))

    def query_to_print(self, total: int) -> str:
        """Return the query that shows all cards of all columns, as far as that is possible."""
        return self.query_with(done=True, limit=round_limit(total))

    @property
    def parameters(self) -> dict[str, str]:
        """Return the query parameters that differ from their defaults.

        Without a query a board shows the default view of the user, if there is one. All tasks are
        then shown by an address that names the view (`names_view`).
        """
        given = {
            name: "1" if value is True else str(value)
            for name, value in vars(self).items()
            if value and value != DEFAULTS.get(name) and name != "names_view"
        }
        return given or ({"view": self.view} if self.names_view else {})

    @property
    def view_query(self) -> str:
        """Return what a saved view consists of, as a query without its question mark."""
        whole = replace(self, names_view=False)
        if whole.sort == DEFAULT_SORTS[self.view]:
            whole = replace(whole, sort="")
        kept = {name: text for name, text in whole.parameters.items() if name not in NOT_SAVED}
        return urlencode(_split_values(kept))

    @property
    def without_filters(self) -> str:
        """Return the query that shows all tasks in the same view."""
        several = dict.fromkeys(SEVERAL, "")
        return self.query_with(q="", field="", value="", needs=False, blocked=False, **several)

    @property
    def query(self) -> str:
        """Return the query with its question mark, or "" if everything has its default."""
        return _encode_query(tuple(_split_values(self.parameters)))

    def query_with(self, **changes: Any) -> str:
        """Return the query with some parameters changed, at the beginning of the list."""
        return replace(self, **(dict.fromkeys(PLACE, "") | changes)).query

    def sort_direction(self, name: str) -> str:
        """Return the direction of a sort column for `aria-sort`, or ""."""
        if self.shown_sort.removeprefix("-") != name:
            return ""
        return "descending" if self.shown_sort.startswith("-") else "ascending"

    def sort_query(self, name: str) -> str:
        """Return the query that sorts the list by a column, or reverses its order."""
        can_reverse = self.shown_sort == name and name != "manual"
        sort = f"-{name}" if can_reverse else name
        return self.query_with(sort="" if sort == DEFAULT_SORTS[self.view] else sort)


def _split_values(parameters: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the parameters of an address, in which each value of SEVERAL is one."""
    return [
        (name, value)
        for name, text in parameters.items()
        for value in (text.split(",") if name in SEVERAL else [text])
    ]


@lru_cache(2_000)  # of at most about 1 kB
def _encode_query(parameters: tuple[tuple[str, str], ...]) -> str:
    """Return a query with its question mark, or ""; the links of a page name many."""
    return f"?{urlencode(parameters)}" if parameters else ""


def build_comment_path(board_id: object, task_id: object, comment_id: object) -> str:
    """Return the address of a comment: the page of the conversation that it is on."""
    return f"/boards/{board_id}/tasks/{task_id}?comment={comment_id}#c-{comment_id}"


def _allowed_value(known: tuple[str, ...], value: str) -> str:
    return value if value in known else ""


def round_limit(count: int) -> int:
    """Return the number of cards to show in each column, so that these are among them."""
    limit = CARDS_IN_COLUMN
    while limit < min(count, 6_400):  # they are loaded in steps, each twice as many as before
        limit *= 2
    return limit


def _parse_limits(text: str) -> dict[Status, int]:
    """Return the numbers of cards of the columns in a text like "inbox.200,review.100"."""
    pairs = (one.partition(".") for one in text.split(","))
    return {
        Status(name): round_limit(_parse_number(count))
        for name, _, count in pairs
        if name in tuple(Status)
    }


def parse_group(group: str, only: str) -> Any:
    """Return the key of the group that an address names. Raises ValueError."""
    if only == NO_VALUE and group in (TaskGrouping.ASSIGNEE, TaskGrouping.TAG):
        return None
    if not only.startswith(VALUE):
        raise ValueError
    text = only.removeprefix(VALUE)
    if not group:
        return Status(text)
    if group == TaskGrouping.ASSIGNEE:
        return UUID(text)
    return DueGroup(int(text[:2])) if group == TaskGrouping.DUE else text


def is_group(group: str, only: str) -> bool:
    """Return whether a text names a group of a grouping."""
    try:
        parse_group(group, only)
    except ValueError:
        return False
    return True


def _join_limits(limits: Mapping[Status, int]) -> str:
    larger = {status: limits[status] for status in Status if status in limits}
    return ",".join(
        f"{status}.{limit}" for status, limit in larger.items() if limit > CARDS_IN_COLUMN
    )


def _parse_number(value: str) -> int:
    is_number = value.isascii() and value.isdecimal()
    return int(value[:6]) if is_number else 0


def _parse_columns(values: Iterable[str]) -> str:
    """Return the given columns of the list in their order; "" for the default ones."""
    given = {name for value in values for name in value[:200].split(",")}
    shown = tuple(name for name in LIST_COLUMNS if name in given)
    if shown == DEFAULT_COLUMNS or not (shown or TITLE in given):
        return ""
    return ",".join(shown) or TITLE


def _parse_several(given: Iterable[str], parse: Callable[[str], str]) -> str:
    """Return the values of a filter, joined by commas, without those that are invalid."""
    values = [one.strip()[:200] for text in given for one in text[:4_000].split(",")]
    parsed = [parse(one) for one in values if is_storable(one)]
    return ",".join([*dict.fromkeys(filter(None, parsed))][:MAX_VALUES])


def _parse_agent(value: str) -> str:
    return value if value in (UNASSIGNED, ME) else _parse_id(value)


def _parse_id(value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        return ""


MAX_VALUES = 20  # of one filter
SEVERAL: Mapping[str, Callable[[str], str]] = {
    "agent": _parse_agent,
    "tag": str,
    "priority": partial(_allowed_value, tuple(Priority)),
    "status": partial(_allowed_value, tuple(Status)),
    "not_agent": _parse_agent,
    "not_tag": str,
}
"""Filters with several values, and how one is parsed. Tasks must have one of the values, and none
of `not_agent` and `not_tag`.
"""
