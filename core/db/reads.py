"""Run SELECT statements that are compiled once, on plain connections of asyncpg.

A `Query` also runs in the transaction of a command, where it sees what the command has written. See
docs/decisions/reads.md.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property, partial
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

import asyncpg
import pydantic_core
from sqlalchemy import (
    BindParameter,
    Boolean,
    ClauseElement,
    Enum,
    Float,
    Integer,
    Select,
    func,
    inspect,
)
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg, dialect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import TypeEngine

from core.db.transactions import fetch_in_transaction, load_entity

Row = TypeVar("Row")
AnySelect: TypeAlias = "Select[*tuple[Any, ...]]"


def encode_json_parameter(value: object) -> str:
    """Serialize a value of a JSON column."""
    return pydantic_core.to_json(value).decode()


DIALECT = dialect(json_serializer=encode_json_parameter)
NUMERIC, DOUBLE_PRECISION = 1700, 701  # object ids of types in pg_type
_EntityBuilder: TypeAlias = Callable[[type[Any], Mapping[str, Any]], Any]
CONSTANT_TYPES = (Boolean, Enum, Integer)
CHOSEN_COLUMNS = "chosen_columns"  # execution option: the columns to load, by entity


class _Compiler(PGCompiler_asyncpg):
    """Writes constants into the text of a statement, where the planner sees them.

    The plan of a prepared statement is for all values of its parameters. As a parameter, a status
    or a limit makes it look so bad that PostgreSQL plans each execution anew.
    """

    def visit_bindparam(self, bindparam: Any, *arguments: Any, **options: Any) -> str:
        """Render a parameter, or its value."""
        if _is_constant(bindparam):
            options["literal_binds"] = True
        return super().visit_bindparam(bindparam, *arguments, **options)


def _is_constant(parameter: BindParameter[Any]) -> bool:
    """Say whether a parameter has a value of its own; texts do not count."""
    has_value = not parameter.required and parameter.value not in (None, [], ())
    return has_value and isinstance(parameter.type, CONSTANT_TYPES)


class _OncePlannedCompiler(_Compiler):
    """Hides values of parameters from the planner, which then keeps one plan for all of them."""

    def visit_bindparam(self, bindparam: Any, *arguments: Any, **options: Any) -> str:
        """Render a parameter as a subquery if its type is written; lists stay as they are."""
        text = super().visit_bindparam(bindparam, *arguments, **options)
        is_hidden = bindparam.required and "::" in text and not text.endswith("[]")
        return f"(SELECT {text})" if is_hidden else text


DIALECT.statement_compiler = _Compiler
ONCE_PLANNED_DIALECT = dialect(json_serializer=encode_json_parameter)
ONCE_PLANNED_DIALECT.statement_compiler = _OncePlannedCompiler


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
        return self._build_rows(row_format, rows, _build_entity)

    async def _fetch_in_transaction(
        self, session: AsyncSession, parameters: dict[str, object]
    ) -> list[Row]:
        row_format = self._session_format
        compiled = row_format.compiled
        arguments = compiled.list_arguments(parameters)
        rows = await fetch_in_transaction(session, compiled.text, arguments)
        load = partial(load_entity, session.sync_session, is_fresh=row_format.is_fresh)
        return self._build_rows(row_format, rows, load)

    def _build_rows(
        self, row_format: "_RowFormat", rows: Iterable[Any], build_entity: _EntityBuilder
    ) -> list[Row]:
        build, convert = self._build, row_format.convert
        if row_format.is_plain:
            return [build(row) for row in rows]
        return [build(convert(row, build_entity)) for row in rows]

    async def first(self, source: Source, **parameters: object) -> Row | None:
        """Return the value of the first row, or None without rows."""
        rows = await self.fetch(source, **parameters)
        return rows[0] if rows else None

    def select_rows(self) -> AnySelect:
        """Return the statement with each row as one value, for `build_row`."""
        statement = self._format.statement
        return statement.with_only_columns(
            func.row(*statement.selected_columns), maintain_column_froms=True
        )

    def build_row(self, values: Iterable[Any]) -> Row:
        """Return the value of a row that was selected by `select_rows`."""
        [row] = self._build_rows(self._format, [values], _build_entity)
        return row

    @cached_property
    def _format(self) -> "_RowFormat":
        return _RowFormat(self.statement, is_planned_once=self._is_planned_once)

    @cached_property
    def _session_format(self) -> "_RowFormat":
        """The format in a transaction, where entities have all their columns."""
        if CHOSEN_COLUMNS not in self.statement.get_execution_options():
            return self._format
        return _RowFormat(self.statement.execution_options(**{CHOSEN_COLUMNS: {}}))


class CompiledStatement:
    """The text of a statement, and its parameters in order."""

    def __init__(
        self,
        statement: ClauseElement,
        columns: Collection[str] | None = None,
        *,
        is_planned_once: bool = False,
    ) -> None:
        """Compile a statement; an INSERT or UPDATE sets the `columns` by parameters."""
        keys = None if columns is None else [*columns]
        dialect = ONCE_PLANNED_DIALECT if is_planned_once else DIALECT
        compiled: Any = statement.compile(dialect=dialect, column_keys=keys)
        names = [name for name, parameter in compiled.binds.items() if parameter.required]
        expanded = compiled.construct_expanded_state(dict.fromkeys(names))
        processors: dict[str, Any] = {
            name: parameter.type.dialect_impl(DIALECT).bind_processor(DIALECT)
            for name, parameter in compiled.binds.items()
        }
        processors.update(expanded.processors)
        self.text = expanded.statement
        self._arguments = [
            (name, expanded.parameters.get(name), processors.get(name))
            for name in expanded.positiontup or ()
        ]

    def list_arguments(self, parameters: Mapping[str, object]) -> list[object]:
        """Return the arguments of the statement in order."""
        return [
            process(value) if process else value
            for name, default, process in self._arguments
            for value in [parameters.get(name, default)]
        ]


class _RowFormat:
    """What the rows of a statement consist of, and how they are converted."""

    def __init__(self, statement: AnySelect, *, is_planned_once: bool = False) -> None:
        self.statement, self._entities = _expand_entities(statement)
        self.compiled = CompiledStatement(self.statement, is_planned_once=is_planned_once)
        self.is_fresh = statement.get_execution_options().get("populate_existing", False)
        self._processors = [
            (index, process)
            for index, column in enumerate(self.statement.selected_columns)
            if (process := _find_result_processor(column.type))
        ]
        has_entities = any(names for _, names, _ in self._entities)
        self.is_plain = not (has_entities or self._processors)

    def convert(self, row: Iterable[Any], build_entity: _EntityBuilder) -> Sequence[Any]:
        """Return the values of a row, with an object for each entity."""
        values = list(row)
        for index, process in self._processors:
            values[index] = process(values[index])
        converted = []
        for entity, names, part in self._entities:
            if not names:
                converted.append(values[part.start])
                continue
            columns = dict(zip(names, values[part], strict=True))
            is_missing = columns["id"] is None  # an outer join without a row
            converted.append(None if is_missing else build_entity(entity, columns))
        return converted


def _find_result_processor(type: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """Return the function that converts values of a column, or None if it has none.

    For numbers it depends on what the server sends, by the object id of the PostgreSQL type.
    """
    code = DOUBLE_PRECISION if isinstance(type, Float) else NUMERIC
    return type.dialect_impl(DIALECT).result_processor(DIALECT, code)


def _expand_entities(statement: AnySelect) -> tuple[AnySelect, list[Any]]:
    """Select the columns of the entities, and describe what each of them is made of."""
    chosen = statement.get_execution_options().get(CHOSEN_COLUMNS, {})
    columns: list[Any] = []
    entities = []
    for one in statement.column_descriptions:
        names, entity = [], one.get("entity")
        if entity is not None and one["expr"] is entity:
            attributes = inspect(entity).mapper.column_attrs
            names = [*chosen.get(entity, (attribute.key for attribute in attributes))]
        start = len(columns)
        columns += [getattr(one["expr"], name) for name in names] or [one["expr"]]
        entity = inspect(entity).mapper.class_ if names else None
        entities.append((entity, names, slice(start, len(columns))))
    if any(names for _, names, _ in entities):
        statement = statement.with_only_columns(*columns)
    return statement, entities


def _build_entity(entity: type[Any], values: Mapping[str, Any]) -> Any:
    """Make an object without a session."""
    built = entity.__new__(entity)
    built.__dict__.update(values)
    return built
