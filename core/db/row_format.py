"""Make values of the rows of a statement: plain values, and objects of mapped classes.

Objects of rows that were read without a session are of a subclass: SQLAlchemy runs a function for
each access to a column of a mapped class, which was a tenth of the time of a list.
"""

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, NoReturn, TypeAlias

from sqlalchemy import Float, Select, inspect
from sqlalchemy.types import TypeEngine

from core.db.compiled_statement import DIALECT, CompiledStatement

AnySelect: TypeAlias = "Select[*tuple[Any, ...]]"
CHOSEN_COLUMNS = "chosen_columns"  # execution option: the columns to load, by entity
NUMERIC, DOUBLE_PRECISION = 1700, 701  # object ids of types in pg_type


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
