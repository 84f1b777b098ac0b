"""Page lists by limit and offset (contract 1.7)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

Item = TypeVar("Item")
MappedItem = TypeVar("MappedItem")

MAX_PAGE_SIZE = 200  # rows in one response


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


async def fetch_page_of_rows(
    session: AsyncSession, query: Select[Any], paging: Paging
) -> Page[Sequence[Any]]:
    """Run an ordered query for one page and count all rows, in one statement where possible."""
    counted = query.add_columns(func.count().over().label("total_rows"))
    rows = (await session.execute(counted.limit(paging.limit).offset(paging.offset))).all()
    return await _page(session, query, rows, paging)


async def fetch_page_by_id(
    session: AsyncSession, ids: Select[UUID], rows: Select[Any], id: Any, paging: Paging
) -> Page[Sequence[Any]]:
    """Select one page of ids and load the details of these ids only.

    `rows` selects the details in the same order as `ids`; `id` is the column to join on. It is one
    statement, as in `fetch_page_of_rows`.
    """
    counted = ids.add_columns(func.count().over().label("total_rows"))
    page = counted.limit(paging.limit).offset(paging.offset).subquery("page")
    query = rows.join(page, page.c.id == id).add_columns(page.c.total_rows)
    return await _page(session, ids, (await session.execute(query)).all(), paging)


async def fetch_page(session: AsyncSession, query: Select[Item], paging: Paging) -> Page[Item]:
    """Run an ordered query of single entities for one page."""
    return (await fetch_page_of_rows(session, query, paging)).map(lambda row: row[0])


async def _page(
    session: AsyncSession, query: Select[Any], rows: Sequence[Any], paging: Paging
) -> Page[Sequence[Any]]:
    """Read the total from the last column; count separately if the page is empty."""
    if rows:
        total = int(rows[0][-1])
    elif paging.offset:
        total = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    else:
        total = 0
    return Page([row[:-1] for row in rows], total, paging.limit, paging.offset)
