"""Run several queries as one statement, for responses that show several kinds of objects."""

from typing import Any

from sqlalchemy import func, select

from core.db.reads import Query, Source


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
