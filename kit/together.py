"""Several queries in one statement: for an answer that shows several kinds of things."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Integer, Select, Subquery, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

Item = TypeVar("Item")


@dataclass(frozen=True)
class Wanted(Generic[Item]):
    """Something that is wanted of the database: a query, and what is made of each of its rows."""

    query: Select[Any]
    make: Callable[[Sequence[Any]], Item]


async def together(session: AsyncSession, *wanted: Wanted[Any]) -> list[list[Any]]:
    """Ask for all of it in one statement; return what is found of each, in its query's order."""
    tables = [_numbered(number, one.query) for number, one in enumerate(wanted)]
    parts = [
        [table.c.place, *_columns(table, one.query)]
        for table, one in zip(tables, wanted, strict=True)
    ]
    found: list[list[Any]] = [[] for _ in wanted]
    for number, *row in await session.execute(_one_below_the_other(tables, parts)):
        before = sum(map(len, parts[:number]))
        place, *own = row[before : before + len(parts[number])]
        if place is not None:
            found[number].append(wanted[number].make(own))
    return found


def _numbered(number: int, query: Select[Any]) -> Subquery:
    """Make a table of a query, where its rows have their places: they come in its order."""
    ordered = query.subquery()
    place = func.row_number().over().label("place")
    return select(ordered, literal(number, Integer).label("part"), place).subquery()


def _columns(table: Subquery, query: Select[Any]) -> list[Any]:
    """Return what a query selects, taken from its table: whole rows as what they are rows of."""
    selected = [(one["expr"], one["entity"]) for one in query.column_descriptions]
    return [
        aliased(what, table) if what is entity else table.corresponding_column(what)
        for what, entity in selected
    ]


def _one_below_the_other(tables: Sequence[Subquery], parts: Sequence[Sequence[Any]]) -> Select[Any]:
    """Select the rows of all tables, each in the columns of its part.

    A table without any has one row without a place.
    """
    series = func.generate_series(0, len(tables) - 1)
    numbers = series.table_valued("number", name="numbers").render_derived()
    query = select(numbers.c.number, *(one for part in parts for one in part))
    query = query.select_from(numbers)
    for table in tables:
        query = query.outerjoin(table, table.c.part == numbers.c.number)
    return query.order_by(numbers.c.number, *(table.c.place for table in tables))
