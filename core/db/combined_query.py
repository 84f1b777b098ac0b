"""Run several queries as one statement, for responses that show several kinds of objects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Generic, TypeVar

from sqlalchemy import Integer, Select, Subquery, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

Item = TypeVar("Item")


@dataclass(frozen=True)
class QueryPart(Generic[Item]):
    """Describe one query of a combined statement and how to build results from its rows."""

    query: Select[Any]
    build: Callable[[Sequence[Any]], Item]


class CombinedQuery:
    """Several queries that are built once, and run as one statement."""

    def __init__(self, *parts: QueryPart[Any]) -> None:
        """Build the statement."""
        tables = [_number_rows(index, part.query) for index, part in enumerate(parts)]
        columns = [
            [table.c.place, *_selected_columns(table, part.query)]
            for table, part in zip(tables, parts, strict=True)
        ]
        ends = list(accumulate(map(len, columns)))
        self._parts = parts
        self._slices = [slice(*bounds) for bounds in zip([0, *ends], ends, strict=False)]
        self._statement = _stack(tables, columns)

    async def run(self, session: AsyncSession, **parameters: object) -> list[list[Any]]:
        """Return the results of each query, in the order of the queries."""
        results: list[list[Any]] = [[] for _ in self._parts]
        for index, *row in await session.execute(self._statement, parameters):
            place, *values = row[self._slices[index]]
            if place is not None:
                results[index].append(self._parts[index].build(values))
        return results


def _number_rows(number: int, query: Select[Any]) -> Subquery:
    """Add row numbers in the order of the query, and the index of the query."""
    ordered = query.subquery()
    place = func.row_number().over().label("place")
    return select(ordered, literal(number, Integer).label("part"), place).subquery()


def _selected_columns(table: Subquery, query: Select[Any]) -> list[Any]:
    """Return the selected columns from the subquery; entities become aliases of it."""
    selected = [(one["expr"], one["entity"]) for one in query.column_descriptions]
    return [
        aliased(what, table) if what is entity else table.corresponding_column(what)
        for what, entity in selected
    ]


def _stack(tables: Sequence[Subquery], parts: Sequence[Sequence[Any]]) -> Select[Any]:
    """Select the rows of all queries one below the other, each in the columns of its part.

    A query without rows yields one row whose row number is null.
    """
    series = func.generate_series(0, len(tables) - 1)
    numbers = series.table_valued("number", name="numbers").render_derived()
    query = select(numbers.c.number, *(one for part in parts for one in part))
    query = query.select_from(numbers)
    for table in tables:
        query = query.outerjoin(table, table.c.part == numbers.c.number)
    return query.order_by(numbers.c.number, *(table.c.place for table in tables))
