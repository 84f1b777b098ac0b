"""Count the SQL statements of a connection."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from httpx2 import AsyncClient
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection

MAX_STATEMENTS = 8  # of an operation


@contextmanager
def count_statements(connection: AsyncConnection) -> Generator[list[str]]:
    """Collect the statements that the connection executes in this context."""
    statements: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(connection.sync_connection, "before_cursor_execute", count)
    yield statements
    event.remove(connection.sync_connection, "before_cursor_execute", count)


@contextmanager
def count_all_statements() -> Generator[list[str]]:
    """Collect the statements of all connections in this context, without transaction control."""
    statements: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", count)
    yield statements
    event.remove(Engine, "before_cursor_execute", count)


async def assert_few_statements(
    client: AsyncClient, method: str, path: str, body: Any = None, *, limit: int = MAX_STATEMENTS
) -> None:
    """Call an operation, and check the number of its statements.

    A first call updates the time when the token was last used, so the second does not.
    """
    await client.patch("/users/me", json={})
    with count_all_statements() as statements:
        response = await client.request(method, path, json=body)
    assert response.status_code == 200, response.text
    assert len(statements) <= limit, "\n\n".join(one[:150] for one in statements)
