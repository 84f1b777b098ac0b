"""Compile statements once, for plain connections of asyncpg."""

from collections.abc import Collection, Mapping
from typing import Any

import pydantic_core
from sqlalchemy import Boolean, ClauseElement, Enum, Integer
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg, dialect


def encode_json_parameter(value: object) -> str:
    """Serialize a value of a JSON column."""
    return pydantic_core.to_json(value).decode()


DIALECT = dialect(json_serializer=encode_json_parameter)
CONSTANT_TYPES = (Boolean, Enum, Integer)


class _Compiler(PGCompiler_asyncpg):
    """Writes constants into the text of a statement, where the planner sees them.

    The plan of a prepared statement is for all values of its parameters. As a parameter, a status
    or a limit makes it look so bad that PostgreSQL plans each execution anew.
    """

    def visit_bindparam(self, bindparam: Any, *arguments: Any, **options: Any) -> str:
        """Render a parameter, or its value if it has one that is not text."""
        has_value = not bindparam.required and bindparam.value not in (None, [], ())
        if has_value and isinstance(bindparam.type, CONSTANT_TYPES):
            options["literal_binds"] = True
        return super().visit_bindparam(bindparam, *arguments, **options)


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
