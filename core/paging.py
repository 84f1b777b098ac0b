"""Page lists by limit and offset (contract 1.7)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import BigInteger, ColumnElement, bindparam, func, select

from core.db.reads import AnySelect, Query, Source

Item = TypeVar("Item")
MappedItem = TypeVar("MappedItem")

MAX_PAGE_SIZE = 200  # rows in one response
PAGE_LIMIT: Any = bindparam("page_limit", type_=BigInteger)
PAGE_OFFSET: Any = bindparam("page_offset", type_=BigInteger)
"""The parameters of a page. Their sum can be more than the maximum of either, an integer."""


@dataclass(frozen=True)
class Paging:
    """Hold the requested limit and offset."""

    limit: int = MAX_PAGE_SIZE
    offset: int = 0


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Hold the items of one page and the total number of items."""

    items: Sequence[Item]
    total: int
    limit: int
    offset: int

    def map(self, change: Callable[[Item], MappedItem]) -> "Page[MappedItem]":
        """Return the same page with converted items."""
        return Page([change(item) for item in self.items], self.total, self.limit, self.offset)


class PagedQuery(Generic[Item]):
    """An ordered SELECT statement that is read page by page, and compiled once.

    `build` makes an item of each row; without it the items are tuples. `total` is the column with
    the number of all rows: by default a subquery, which does not read what the rows show.
    """

    def __init__(
        self,
        statement: AnySelect,
        build: Callable[[Any], Item] | None = None,
        total: ColumnElement[int] | None = None,
    ) -> None:
        """Create the query of a page with the number of all rows, and the query of that number."""
        count = select(func.count()).select_from(statement.order_by(None).subquery())
        self._build: Callable[[Any], Item] = build or cast("Any", tuple)
        self._total: Query[tuple[int]] = Query(count)
        total = count.scalar_subquery() if total is None else total
        self._page: Query[tuple[Item, int]] = Query(
            statement.add_columns(total).limit(PAGE_LIMIT).offset(PAGE_OFFSET),
            lambda row: (self._build(row[:-1]), row[-1]),
            is_planned_once=True,
        )

    async def fetch_page(self, source: Source, paging: Paging, **parameters: object) -> Page[Item]:
        """Return one page; a second statement counts the rows if the offset is after the last."""
        limits = {"page_limit": paging.limit, "page_offset": paging.offset}
        rows = await self._page.fetch(source, **parameters, **limits)
        if rows or not paging.offset:
            total = rows[0][1] if rows else 0
        else:
            [(total,)] = await self._total.fetch(source, **parameters)
        return Page([item for item, _ in rows], total, paging.limit, paging.offset)
