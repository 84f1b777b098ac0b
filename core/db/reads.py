"""Run SELECT statements that are compiled once, on plain connections of asyncpg.

A `Query` also runs in the transaction of a command, where it sees what the command has written. See
docs/decisions/reads.md.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

import asyncpg
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.row_format import (
    CHOSEN_COLUMNS,
    AnySelect,
    EntityBuilder,
    EntityColumns,
    RowFormat,
    build_detached_entity,
)
from core.db.transactions import fetch_in_transaction, load_entity

Row = TypeVar("Row")


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
