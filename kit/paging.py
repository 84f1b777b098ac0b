"""Limit and offset: what a list takes, and what it gives back (contract, 1.7)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

Item = TypeVar("Item")
Other = TypeVar("Other")

MOST = 200  # rows in one answer


@dataclass(frozen=True)
class Paging:
    """Which part of a list is asked for."""

    limit: int = MOST
    offset: int = 0


@dataclass(frozen=True)
class Page(Generic[Item]):
    """A part of a list, and how long the whole list is."""

    items: Sequence[Item]
    total: int
    limit: int
    offset: int

    def map(self, change: Callable[[Item], Other]) -> "Page[Other]":
        """Return the same page of other items."""
        return Page([change(item) for item in self.items], self.total, self.limit, self.offset)


async def paged_rows(
    session: AsyncSession, query: Select[Any], paging: Paging
) -> Page[Sequence[Any]]:
    """Run an ordered query for one page of its rows, and count all, in one statement if it can."""
    counted = query.add_columns(func.count().over().label("total_rows"))
    rows = (await session.execute(counted.limit(paging.limit).offset(paging.offset))).all()
    return await _page(session, query, rows, paging)


async def paged_by_id(
    session: AsyncSession, ids: Select[UUID], rows: Select[Any], id: Any, paging: Paging
) -> Page[Sequence[Any]]:
    """Run an ordered query for one page of ids, and look closer only at what is on that page.

    `rows` selects all that is shown of a thing, in the same order; `id` is the column by which it
    is found. One statement, as `paged_rows`.
    """
    counted = ids.add_columns(func.count().over().label("total_rows"))
    page = counted.limit(paging.limit).offset(paging.offset).subquery("page")
    query = rows.join(page, page.c.id == id).add_columns(page.c.total_rows)
    return await _page(session, ids, (await session.execute(query)).all(), paging)


async def paged(session: AsyncSession, query: Select[Item], paging: Paging) -> Page[Item]:
    """Run an ordered query of one kind of thing for one page of it."""
    return (await paged_rows(session, query, paging)).map(lambda row: row[0])


async def _page(
    session: AsyncSession, query: Select[Any], rows: Sequence[Any], paging: Paging
) -> Page[Sequence[Any]]:
    """Take the total from the rows' last column; where there are none, it has to be asked for."""
    if rows:
        total = int(rows[0][-1])
    elif paging.offset:
        total = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    else:
        total = 0
    return Page([row[:-1] for row in rows], total, paging.limit, paging.offset)
