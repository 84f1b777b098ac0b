"""Select pages of rows of several boards, newest first, at a cost that does not grow with the rows.

The newest rows of each board are read from an index and merged. The total is not counted but
given, because it comes from counters.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Uuid,
    bindparam,
    cast,
    select,
    true,
)

from core.db.reads import AnySelect, Query, Source
from core.paging import PAGE_LIMIT, PAGE_OFFSET, Page, Paging

Item = TypeVar("Item")

THIS_BOARD_ID: Select[*tuple[Any, ...]] = select(bindparam("board_id", type_=Uuid).label("id"))
"""Selects the board `board_id`, to which the caller has checked the access."""


def newest_rows_query(
    board_ids: Select[Any], rows: Select[*tuple[Any, ...]], board_id: Any, order: Any
) -> Select[*tuple[Any, ...]]:
    """Select the rows of a page of these boards, by `order` and then by id.

    `rows` selects an id, and `order` as its second column. Both are descending. An index on
    `board_id` and `order` is needed.
    """
    board = board_ids.subquery("listed_board")
    id = rows.selected_columns[0]
    of_board = rows.where(board_id == board.c.id).order_by(order.desc(), id.desc())
    newest = of_board.limit(PAGE_LIMIT + PAGE_OFFSET).lateral("newest")
    merged = select(newest.c[0], newest.c[1]).select_from(board.join(newest, true()))
    newest_first = merged.order_by(newest.c[1].desc(), newest.c[0].desc())
    return newest_first.limit(PAGE_LIMIT).offset(PAGE_OFFSET)


class BoardPageQuery(Generic[Item]):
    """The statement of a page, and the one for its total alone, both compiled once."""

    def __init__(
        self,
        ids: Select[Any],
        details: AnySelect,
        id: Any,
        total: ColumnElement[Any],
        build: Callable[[Any], Item],
    ) -> None:
        """Create both. `ids` selects the ids of the page, and `details` what `build` needs."""
        counted = cast(total, BigInteger).label("total_rows")
        shown = ids.subquery("page")
        page = details.join(shown, shown.c[0] == id).add_columns(counted)
        self._page: Query[tuple[Item, int]] = Query(page, lambda row: (build(row[:-1]), row[-1]))
        self._total: Query[tuple[int]] = Query(select(counted))

    async def fetch_page(self, source: Source, paging: Paging, **parameters: object) -> Page[Item]:
        """Run one statement, or two for an offset after the last row."""
        given = {**parameters, "page_limit": paging.limit, "page_offset": paging.offset}
        rows = await self._page.fetch(source, **given)
        total = rows[0][1] if rows else 0
        if not rows and paging.offset:
            [(total,)] = await self._total.fetch(source, **given)
        return Page([item for item, _ in rows], total, paging.limit, paging.offset)
