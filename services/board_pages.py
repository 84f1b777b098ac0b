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
from core.paging import PAGE_LIMIT, PAGE_OFFSET, Page, PageRows, Paging, build_page

Item = TypeVar("Item")

THIS_BOARD_ID: Select[*tuple[Any, ...]] = select(bindparam("board_id", type_=Uuid).label("id"))
"""Selects the board `board_id`, to which the caller has checked the access."""


def newest_rows_query(
    board_ids: Select[Any],
    rows: Select[*tuple[Any, ...]],
    board_id: Any,
    order: Any,
    *,
    limit: Any = PAGE_LIMIT,
    offset: Any = PAGE_OFFSET,
) -> Callable[..., Select[*tuple[Any, ...]]]:
    """Return what selects the rows of a page of these boards, by `order` and then by id.

    It takes conditions on the rows of each board. The page is that of the request by default.

    `rows` selects an id, and `order` as its second column. Both are descending. An index on
    `board_id` and `order` is needed.
    """
    board = board_ids.subquery("listed_board")
    id = rows.selected_columns[0]
    of_board = rows.where(board_id == board.c.id).order_by(order.desc(), id.desc())

    def select_page(*conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
        newest = of_board.where(*conditions).limit(limit + offset).lateral("newest")
        merged = select(newest.c[0], newest.c[1]).select_from(board.join(newest, true()))
        newest_first = merged.order_by(newest.c[1].desc(), newest.c[0].desc())
        return newest_first.limit(limit).offset(offset)

    return select_page


class BoardPageQuery(Generic[Item]):
    """The statement of a page, and the one for its total alone, both compiled once."""

    def __init__(
        self,
        select_ids: Callable[..., Select[Any]],
        details: AnySelect,
        id: Any,
        total: ColumnElement[Any],
        build: Callable[[Any], Item],
    ) -> None:
        """Create both.

        `select_ids` selects the ids of the page, with conditions on the rows of the list, and
        `details` what `build` needs, in the order of the list.
        """
        counted = cast(total, BigInteger).label("total_rows")

        def build_statement(*conditions: ColumnElement[bool]) -> AnySelect:
            shown = select_ids(*conditions).subquery("page")
            return details.join(shown, shown.c[0] == id).add_columns(counted)

        self._rows: PageRows[tuple[Item, int]] = PageRows(
            build_statement, lambda row: (build(row[:-1]), row[-1])
        )
        self._total: Query[tuple[int]] = Query(select(counted))

    async def fetch_page(self, source: Source, paging: Paging, **parameters: object) -> Page[Item]:
        """Run one statement, or two for a page after the last row."""
        rows, cursor = await self._rows.fetch(source, paging, **parameters)
        total = rows[0][1] if rows else 0
        if not rows and (paging.offset or paging.after):
            [(total,)] = await self._total.fetch(source, **parameters)
        return build_page([item for item, _ in rows], total, paging, cursor)
