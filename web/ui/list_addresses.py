"""What the address of a list names: the order of a table, and a position in a long list."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams

from core.paging import MAX_CURSOR_LENGTH, KeysetPage, PagePlace
from web.ui import forms

Row = TypeVar("Row")
PAGE_SIZE = 100  # rows


def build_query(values: Mapping[str, Any]) -> str:
    """Return the query of those values that are set, with its question mark; "" if none is."""
    parameters = {name: value for name, value in values.items() if value}
    return f"?{urlencode(parameters)}" if parameters else ""


@dataclass(frozen=True)
class TableOrder:
    """The column by which a table is sorted; "-name" is the descending order.

    `filters` are the other parameters of the address, which links keep.
    """

    path: str
    sort: str
    default: str
    filters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_query(
        cls, path: str, query: QueryParams, columns: Iterable[str], filters: Mapping[str, str]
    ) -> "TableOrder":
        """Parse the query of a request. An unknown column counts as the first one."""
        first, *_ = names = list(columns)
        given = query.get("sort", "")
        return cls(path, given if given.removeprefix("-") in names else first, first, filters)

    def sort_direction(self, name: str) -> str:
        """Return the direction of a column for `aria-sort`, or ""."""
        if self.sort.removeprefix("-") != name:
            return ""
        return "descending" if self.sort.startswith("-") else "ascending"

    def sort_href(self, name: str) -> str:
        """Return the address that sorts by a column, or reverses its order."""
        return self._build_address(f"-{name}" if self.sort == name else name)

    @property
    def address(self) -> str:
        """Return the address of the table as it is shown."""
        return self._build_address(self.sort)

    def sort_rows(self, rows: Iterable[Row], keys: Mapping[str, Callable[[Row], Any]]) -> list[Row]:
        """Return the rows in order; `keys` has the sort key of each column."""
        key = keys[self.sort.removeprefix("-")]
        return sorted(rows, key=key, reverse=self.sort.startswith("-"))

    def cut_page(self, rows: Sequence[Any], offset: int) -> "TablePage":
        """Return the page of sorted rows that begins at an offset, or the last one before it."""
        last = max(len(rows) - 1, 0) // PAGE_SIZE * PAGE_SIZE
        start = min(offset // PAGE_SIZE * PAGE_SIZE, last)
        return TablePage(self, rows[start : start + PAGE_SIZE], start, len(rows))

    def address_at(self, offset: int) -> str:
        """Return the address of the page that begins at an offset."""
        return self._build_address(self.sort, str(offset or ""))

    def address_without(self, name: str) -> str:
        """Return the address of the table without one of its filters."""
        filters = {key: value for key, value in self.filters.items() if key != name}
        return replace(self, filters=filters).address

    def address_of(self, place: PagePlace) -> str:
        """Return the address of the page at a place."""
        return self._build_address(self.sort, after=place.after, before=place.before)

    def _build_address(self, sort: str, offset: str = "", **place: str) -> str:
        shown = {"sort": sort if sort != self.default else "", "offset": offset, **place}
        given = {**self.filters, **shown}
        parameters: Sequence[tuple[str, str]] = [one for one in given.items() if one[1]]
        return f"{self.path}?{urlencode(parameters, errors='replace')}" if parameters else self.path


@dataclass(frozen=True)
class TablePage:
    """The rows of a page of a table, and the addresses of the pages around it."""

    order: TableOrder
    rows: Sequence[Any]
    offset: int
    total: int
    size: int = PAGE_SIZE

    @property
    def address(self) -> str:
        """Return the address of the page as it is shown."""
        return self.order.address_at(self.offset)

    @property
    def previous(self) -> str:
        """Return the address of the page before it, or "" on the first one."""
        return self.order.address_at(max(self.offset - self.size, 0)) if self.offset else ""

    @property
    def next(self) -> str:
        """Return the address of the page after it, or "" on the last one."""
        end = self.offset + len(self.rows)
        return self.order.address_at(end) if end < self.total else ""


@dataclass(frozen=True)
class KeysetTable:
    """A page of a table that is read by the places of its rows, and the number of all rows."""

    order: TableOrder
    place: PagePlace
    page: KeysetPage[Any]
    total: int

    @property
    def rows(self) -> Sequence[Any]:
        """Return the rows of the page."""
        return self.page.items

    @property
    def address(self) -> str:
        """Return the address of the page as it is shown."""
        return self.order.address_of(self.place)

    @property
    def previous(self) -> str:
        """Return the address of the page before it, or "" on the first one."""
        place = PagePlace(before=self.page.before)
        return self.order.address_of(place) if self.page.before else ""

    @property
    def next(self) -> str:
        """Return the address of the page after it, or "" on the last one."""
        return self.order.address_of(PagePlace(after=self.page.after)) if self.page.after else ""


def parse_place(query: QueryParams) -> PagePlace:
    """Return the place in a list that an address names."""
    after, before = (query.get(name, "")[:MAX_CURSOR_LENGTH] for name in ("after", "before"))
    return PagePlace(after, before)


@dataclass(frozen=True)
class ListPosition:
    """A place in a list; `parameters` are those of the address that shows it again."""

    offset: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def query(self) -> str:
        """Return the query of the address with its question mark, or "" for the first page."""
        return f"?{urlencode(self.parameters)}" if self.parameters else ""


def parse_list_position(query: QueryParams, name: str) -> ListPosition:
    """Return the place that an address names; the offset of an object, `name`, is not known."""
    id, offset = forms.parse_id(query.get(name)), forms.parse_offset(query)
    if id is not None:
        return ListPosition(parameters={name: str(id)})
    return ListPosition(offset, {"offset": str(offset)}) if offset else ListPosition()


async def find_page_around(
    query: QueryParams,
    name: str,
    page_size: int,
    count_before: Callable[[UUID], Awaitable[int]],
) -> ListPosition:
    """Return the place of the page around the object that an address names, or at its offset.

    The first page has no parameters: it shows what is added.
    """
    place, id = parse_list_position(query, name), forms.parse_id(query.get(name))
    if id is None:
        return place
    offset = max(await count_before(id) - page_size // 2, 0)  # the object is in the middle
    return ListPosition(offset, place.parameters) if offset else ListPosition()
