"""Run SELECT statements that are compiled once, on plain connections of asyncpg.

A `Query` also runs in the transaction of a command, where it sees what the command has written. See
docs/decisions/reads.md.

Objects of rows that were read without a session are of a subclass: SQLAlchemy runs a function for
each access to a column of a mapped class, which was a tenth of the time of a list.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import cache, cached_property, partial
from typing import (
    Any,
    Generic,
    NoReturn,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    cast,
    runtime_checkable,
)

import asyncpg
from sqlalchemy import Float, Select, func, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import TypeEngine

from core.db.compiled_statement import DIALECT, CompiledStatement
from core.db.transactions import fetch_in_transaction, load_entity

AnySelect: TypeAlias = "Select[*tuple[Any, ...]]"
CHOSEN_COLUMNS = "chosen_columns"  # execution option: the columns to load, by entity
NUMERIC, DOUBLE_PRECISION = 1700, 701  # object ids of types in pg_type
Row = TypeVar("Row")
Shape = ParamSpec("Shape")
Built = TypeVar("Built")


class ReadConnection(Protocol):
    """A connection on which statements are committed one by one."""

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return the rows of a statement."""
        ...


Source: TypeAlias = ReadConnection | AsyncSession
"""Where a query runs: on a connection of the read pool, or in the transaction of a command."""

ReadFactory: TypeAlias = Callable[[], AbstractAsyncContextManager[Source]]
"""Opens what queries run on, for the duration of a block."""


class WriteRequired(Exception):
    """A reader has found that it must also write; the caller repeats it in a transaction."""


def require_transaction(source: Source) -> AsyncSession:
    """Return the transaction in which a reader runs. Raises WriteRequired outside of one."""
    if not isinstance(source, AsyncSession):
        raise WriteRequired
    return source


def set_loaded_values(entity: object, **values: object) -> None:
    """Set columns of an object as if they had just been loaded, with or without a session."""
    vars(entity).update(values)


def choose_columns(statement: AnySelect, chosen: Mapping[Any, Sequence[str]]) -> AnySelect:
    """Return a statement that loads only these columns of entities on read connections.

    The others are missing there, and cannot be read. `id` must be one of the columns. In a
    transaction all columns are loaded.
    """
    earlier = statement.get_execution_options().get(CHOSEN_COLUMNS, {})
    return statement.execution_options(**{CHOSEN_COLUMNS: {**earlier, **chosen}})


class EntityColumns:
    """Which columns of a row are those of an entity."""

    def __init__(self, entity: type[Any], names: Sequence[str], start: int) -> None:
        self.entity = entity
        self.detached_class = _derive_detached_class(entity)
        self.names = names
        self.place = slice(start, start + len(names))
        self.id_index = start + names.index("id")


EntityBuilder: TypeAlias = Callable[[EntityColumns, Sequence[Any]], Any]
"""Makes an object of the values of its columns."""


class RowFormat:
    """What the rows of a statement consist of, and how they are converted."""

    def __init__(self, statement: AnySelect, *, is_planned_once: bool = False) -> None:
        self.statement, self._parts = _expand_entities(statement)
        self._is_planned_once = is_planned_once
        self.is_fresh = statement.get_execution_options().get("populate_existing", False)
        self._processors = [
            (index, process)
            for index, column in enumerate(self.statement.selected_columns)
            if (process := _find_result_processor(column.type))
        ]
        has_entities = any(isinstance(part, EntityColumns) for part in self._parts)
        self.is_plain = not (has_entities or self._processors)

    @cached_property
    def compiled(self) -> CompiledStatement:
        """The compiled statement, which a query that is only a part of others does not need."""
        return CompiledStatement(self.statement, is_planned_once=self._is_planned_once)

    def convert(self, row: Sequence[Any], build_entity: EntityBuilder) -> Sequence[Any]:
        """Return the values of a row, with an object for each entity.

        It is None if the columns are those of an outer join without a row.
        """
        values = row
        if self._processors:
            values = list(row)
            for index, process in self._processors:
                values[index] = process(values[index])
        converted = []
        for part in self._parts:
            if isinstance(part, int):
                converted.append(values[part])
            elif values[part.id_index] is None:
                converted.append(None)
            else:
                converted.append(build_entity(part, values[part.place]))
        return converted


def _find_result_processor(type: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """Return the function that converts values of a column, or None if it has none.

    For numbers it depends on what the server sends, by the object id of the PostgreSQL type.
    """
    code = DOUBLE_PRECISION if isinstance(type, Float) else NUMERIC
    return type.dialect_impl(DIALECT).result_processor(DIALECT, code)


def _expand_entities(statement: AnySelect) -> tuple[AnySelect, list[EntityColumns | int]]:
    """Select the columns of the entities, and return the place of each value in a row."""
    chosen = statement.get_execution_options().get(CHOSEN_COLUMNS, {})
    columns: list[Any] = []
    parts: list[EntityColumns | int] = []
    for one in statement.column_descriptions:
        entity, start = one.get("entity"), len(columns)
        if entity is None or one["expr"] is not entity:
            columns.append(one["expr"])
            parts.append(start)
            continue
        mapper = inspect(entity).mapper
        names = [*chosen.get(entity, (attribute.key for attribute in mapper.column_attrs))]
        columns += [getattr(entity, name) for name in names]
        parts.append(EntityColumns(mapper.class_, names, start))
    if any(isinstance(part, EntityColumns) for part in parts):
        statement = statement.with_only_columns(*columns)
    return statement, parts


def build_detached_entity(columns: EntityColumns, values: Sequence[Any]) -> Any:
    """Make an object without a session, which cannot be changed."""
    built = object.__new__(columns.detached_class)
    built.__dict__.update(zip(columns.names, values, strict=True))
    return built


class _UnloadedColumn:
    """Stands for a column or a relationship. The value in an object's `__dict__` precedes it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, entity: object, owner: object) -> NoReturn:
        raise AttributeError(f"{self.name} was not loaded")


def _refuse_change(self: object, name: str, value: object) -> NoReturn:
    raise AttributeError(f"{name} cannot be changed without a session")


@cache
def _derive_detached_class(entity: type[Any]) -> type[Any]:
    """Return a subclass that is not mapped, and whose columns are plain attributes."""
    attributes = {one.key: _UnloadedColumn(one.key) for one in inspect(entity).attrs}
    names = {"__module__": entity.__module__, "__doc__": entity.__doc__}
    special = {"__abstract__": True, "__setattr__": _refuse_change, **names}
    return type(entity)(entity.__name__, (entity,), {**attributes, **special})


class Query(Generic[Row]):
    """A SELECT statement with named parameters, compiled when it is first used.

    `build` makes a value of each row. On a read connection the entities of the statement are
    objects without a session: they hold the columns, but no relationships, and cannot be changed.
    Parameters need types if the statement does not imply them; lists are arrays (`= ANY`).

    `is_planned_once` is for statements whose best plan is the same for all values. PostgreSQL plans
    an execution anew, which can take longer than it, if that looks better for its values.
    """

    def __init__(
        self,
        statement: AnySelect,
        build: Callable[[Any], Row] | None = None,
        *,
        is_planned_once: bool = False,
    ) -> None:
        """Create a query; without `build` its rows are tuples."""
        self.statement, self._is_planned_once = statement, is_planned_once
        self._build: Callable[[Any], Row] = build or cast("Any", tuple)

    async def fetch(self, source: Source, **parameters: object) -> list[Row]:
        """Return the values of all rows."""
        if isinstance(source, AsyncSession):
            return await self._fetch_in_transaction(source, parameters)
        row_format = self._format
        compiled = row_format.compiled
        rows = await source.fetch(compiled.text, *compiled.list_arguments(parameters))
        return self._build_rows(row_format, rows, build_detached_entity)

    async def _fetch_in_transaction(
        self, session: AsyncSession, parameters: dict[str, object]
    ) -> list[Row]:
        row_format = self._session_format
        compiled = row_format.compiled
        arguments = compiled.list_arguments(parameters)
        rows = await fetch_in_transaction(session, compiled.text, arguments)

        def load(columns: EntityColumns, values: Sequence[Any]) -> Any:
            loaded = dict(zip(columns.names, values, strict=True))
            is_fresh = row_format.is_fresh
            return load_entity(session.sync_session, columns.entity, loaded, is_fresh=is_fresh)

        return self._build_rows(row_format, rows, load)

    def _build_rows(
        self, row_format: RowFormat, rows: Iterable[Any], build_entity: EntityBuilder
    ) -> list[Row]:
        build, convert = self._build, row_format.convert
        if row_format.is_plain:
            return [build(row) for row in rows]
        return [build(convert(row, build_entity)) for row in rows]

    async def first(self, source: Source, **parameters: object) -> Row | None:
        """Return the value of the first row, or None without rows."""
        rows = await self.fetch(source, **parameters)
        return rows[0] if rows else None

    def compile(self) -> None:
        """Compile the statement before its first use."""
        _ = self._format.compiled

    def select_rows(self) -> AnySelect:
        """Return the statement with each row as one value, for `build_row`."""
        statement = self._format.statement
        return statement.with_only_columns(
            func.row(*statement.selected_columns), maintain_column_froms=True
        )

    def build_row(self, values: Sequence[Any]) -> Row:
        """Return the value of a row that was selected by `select_rows`."""
        [row] = self._build_rows(self._format, [values], build_detached_entity)
        return row

    @cached_property
    def _format(self) -> RowFormat:
        return RowFormat(self.statement, is_planned_once=self._is_planned_once)

    @cached_property
    def _session_format(self) -> RowFormat:
        """The format in a transaction, where entities have all their columns."""
        if CHOSEN_COLUMNS not in self.statement.get_execution_options():
            return self._format
        return RowFormat(self.statement.execution_options(**{CHOSEN_COLUMNS: {}}))


class CombinedQuery:
    """Several queries that run as one statement, which selects an array of the rows of each.

    Their entities have no session, also if it runs in a transaction.
    """

    def __init__(self, *queries: Query[Any]) -> None:
        """Create the statement."""
        arrays = [func.array(query.select_rows().scalar_subquery()) for query in queries]
        self._queries = queries
        self._statement: Query[tuple[Any, ...]] = Query(select(*arrays), is_planned_once=True)

    def compile(self) -> None:
        """Compile the statement before its first use."""
        self._statement.compile()

    async def fetch(self, source: Source, **parameters: object) -> list[list[Any]]:
        """Return the values of all rows of each query."""
        [arrays] = await self._statement.fetch(source, **parameters)
        return [
            list(map(query.build_row, rows))
            for query, rows in zip(self._queries, arrays, strict=True)
        ]


@runtime_checkable
class Compilable(Protocol):
    """A query, or several."""

    def compile(self) -> None:
        """Compile the statements before their first use."""
        ...


BUILDER = ThreadPoolExecutor(1, "queries")  # one: more would take more of the loop's time


class QueryCache(Generic[Shape, Built]):
    """The queries for the shapes that were used last, such as sets of filters.

    `build` returns a query or a tuple of queries. It is called in a thread: with many filters it
    takes 0.2 s with the compilation, in which the event loop would handle no request.
    """

    def __init__(self, build: Callable[Shape, Built], max_shapes: int) -> None:
        self.build = build
        self._max_shapes = max_shapes
        self._found: OrderedDict[object, Built] = OrderedDict()

    async def get(self, *shape: Shape.args, **more: Shape.kwargs) -> Built:
        """Return the queries for a shape, compiled."""
        key = (shape, *more.items())
        if key not in self._found:
            loop = asyncio.get_running_loop()
            built = await loop.run_in_executor(
                BUILDER, partial(self._build_compiled, key, *shape, **more)
            )
            self._found[key] = built
            if len(self._found) > self._max_shapes:
                self._found.popitem(last=False)
            return built
        self._found.move_to_end(key)
        return self._found[key]

    def _build_compiled(self, key: object, *shape: Shape.args, **more: Shape.kwargs) -> Built:
        if found := self._found.get(key):  # meanwhile, for another request
            return found
        built = self.build(*shape, **more)
        for query in built if isinstance(built, tuple) else (built,):
            if isinstance(query, Compilable):
                query.compile()
        return built


def cache_queries(
    max_shapes: int,
) -> Callable[[Callable[Shape, Built]], QueryCache[Shape, Built]]:
    """Make of a function that builds queries the cache of what it builds."""
    return lambda build: QueryCache(build, max_shapes)
