"""Run statements that change rows, compiled once, in the transaction of a command."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.compiled_statement import CompiledStatement
from core.db.transactions import execute_many_in_transaction, fetch_in_transaction


class Write:
    """An INSERT, UPDATE or DELETE with named parameters, compiled when it is first used.

    The session does not know what it changes: objects that are read later have the new values,
    but those that the session has already loaded keep theirs.
    """

    def __init__(self, statement: ClauseElement, columns: Collection[str] | None = None) -> None:
        """Create a statement; each of `columns` is set to the parameter of the same name."""
        self._statement, self._columns = statement, columns

    async def execute(self, session: AsyncSession, **parameters: object) -> list[Any]:
        """Run the statement and return its rows, without conversion. Raises DBAPIError."""
        compiled = self._compiled
        arguments = compiled.list_arguments(parameters)
        return await fetch_in_transaction(session, compiled.text, arguments)

    async def execute_many(
        self, session: AsyncSession, rows: Sequence[Mapping[str, object]]
    ) -> None:
        """Run the statement for each of the rows, in one round trip. Raises DBAPIError."""
        compiled = self._compiled
        if rows:
            arguments = [compiled.list_arguments(row) for row in rows]
            await execute_many_in_transaction(session, compiled.text, arguments)

    @cached_property
    def _compiled(self) -> CompiledStatement:
        return CompiledStatement(self._statement, self._columns)
