"""Find the place of a task among the tasks that a board shows, without reading all of them.

The task before or after another one is found by comparing what the tasks are sorted by. In the
order of the board that reads a few rows of an index, however long the column is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Uuid, and_, bindparam, func, literal, or_, select

from core.db.reads import CombinedQuery, Query, Source
from models import Board, Status, Task
from services.tasks.board_columns import (
    BoardFilters,
    build_filter_conditions,
    prepare_conditions,
)
from services.tasks.board_order import BoardOrder, SortKey

MAX_PLACE_QUERIES = 256  # built queries, by the filters, the order and the column


@dataclass(frozen=True)
class BoardPlace:
    """The tasks around a task, if there are any."""

    previous_id: UUID | None
    next_id: UUID | None


class _Position(NamedTuple):
    """What a task is sorted by, in its column."""

    status: Status
    values: Sequence[Any]


class _PlaceQueries(NamedTuple):
    """The queries of a column with certain filters and an order."""

    position: Query[_Position]  # of the task `task_id`
    around: CombinedQuery  # the nearest task before a position, and that after it
    count: Query[int]  # of the tasks before a position
    first: Query[UUID]
    last: Query[UUID]


async def find_board_place(
    source: Source, board: Board, task_id: UUID, filters: BoardFilters, order: BoardOrder
) -> BoardPlace | None:
    """Return what is around a task among those that match the filters, or None if it does not."""
    search = _Search(source, board, filters, order)
    position = await search.find_position(task_id)
    if position is None:
        return None
    return await search.find_place(position)


async def count_tasks_before(
    source: Source, board: Board, task_id: UUID, filters: BoardFilters, order: BoardOrder
) -> int | None:
    """Return how many tasks are before a task in its column, or None if it does not match."""
    search = _Search(source, board, filters, order)
    position = await search.find_position(task_id)
    return None if position is None else await search.count_before(position)


class _Search:
    """Searches among the tasks that a board shows with certain filters, in an order."""

    def __init__(
        self, source: Source, board: Board, filters: BoardFilters, order: BoardOrder
    ) -> None:
        self._source, self._order = source, order
        self._shape, self._parameters = prepare_conditions(board, filters)

    async def find_position(self, task_id: UUID) -> _Position | None:
        """Return what a task is sorted by, or None if the board does not show it."""
        queries = self._build(self._order.statuses[0])
        found = await queries.position.first(self._source, task_id=task_id, **self._parameters)
        if found is None or found.status not in self._order.statuses:
            return None
        if not self._order.has_sections(found.status):
            return found
        queries = self._build(found.status)  # which sort by one more value
        return await queries.position.first(self._source, task_id=task_id, **self._parameters)

    async def find_place(self, position: _Position) -> BoardPlace:
        """Return the nearest tasks in the column, or else in the columns before and after it."""
        around = self._build(position.status).around
        preceding, following = await around.fetch(
            self._source, **self._values(position), **self._parameters
        )
        return BoardPlace(
            preceding[0] if preceding else await self._find_end(position.status, is_next=False),
            following[0] if following else await self._find_end(position.status, is_next=True),
        )

    async def _find_end(self, status: Status, *, is_next: bool) -> UUID | None:
        """Return the task that is nearest to a column, in those before or after it."""
        at = self._order.statuses.index(status)
        before, after = self._order.statuses[:at], self._order.statuses[at + 1 :]
        for other in after if is_next else reversed(before):
            queries = self._build(other)
            end = queries.first if is_next else queries.last
            found = await end.first(self._source, **self._parameters)
            if found is not None:
                return found
        return None

    async def count_before(self, position: _Position) -> int:
        """Return how many tasks of the column are before a position."""
        count = self._build(position.status).count
        found = await count.first(self._source, **self._values(position), **self._parameters)
        return found or 0

    def _build(self, status: Status) -> _PlaceQueries:
        return _build_queries(*self._shape, self._order, status)

    def _values(self, position: _Position) -> dict[str, Any]:
        return {f"key_{number}": value for number, value in enumerate(position.values)}


@lru_cache(MAX_PLACE_QUERIES)
def _build_queries(
    active_filters: frozenset[str], word_count: int, order: BoardOrder, status: Status
) -> _PlaceQueries:
    conditions = build_filter_conditions(active_filters, word_count)
    keys = order.list_keys(status)
    in_column = [Task.status == status, *conditions]
    in_order = [key.sorted() for key in keys]
    reverse = [key.sorted(is_reversed=True) for key in keys]
    first_id = select(Task.id).where(*in_column).limit(literal(1, Integer))
    preceding, following = _compare(keys, is_after=False), _compare(keys, is_after=True)
    own = select(Task.status, *(key.column for key in keys)).where(
        Task.id == bindparam("task_id", type_=Uuid()), *conditions
    )
    return _PlaceQueries(
        Query(own, lambda row: _Position(row[0], row[1:])),
        CombinedQuery(
            Query(first_id.where(preceding).order_by(*reverse), itemgetter(0)),
            Query(first_id.where(following).order_by(*in_order), itemgetter(0)),
        ),
        Query(select(func.count()).select_from(Task).where(*in_column, preceding), itemgetter(0)),
        Query(first_id.order_by(*in_order), itemgetter(0)),
        Query(first_id.order_by(*reverse), itemgetter(0)),
    )


def _compare(keys: Sequence[SortKey], *, is_after: bool) -> ColumnElement[bool]:
    """Match the tasks before or after the position in `key_0`, `key_1` and so on."""
    values = [bindparam(f"key_{number}", type_=key.column.type) for number, key in enumerate(keys)]
    pairs = list(zip(keys, values, strict=True))
    alternatives = []
    for number, (key, value) in enumerate(pairs):
        equal = [one.column.is_not_distinct_from(other) for one, other in pairs[:number]]
        alternatives.append(and_(*equal, key.compare(value, is_after=is_after)))
    # The index of the order is used because of the bound, which the alternatives imply.
    bounds = [key.bound(value, is_after=is_after) for key, value in pairs[:1] if key.is_required]
    return and_(*bounds, or_(*alternatives))
