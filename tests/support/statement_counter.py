"""Count the SQL statements of a connection."""

import re
import traceback
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from httpx2 import AsyncClient
from sqlalchemy import Delete, Insert, Select, TextClause, Update
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.round_trips import RoundTrip, listen_to_round_trips

PRODUCT = re.compile(rf"{re.escape(str(Path(__file__).parents[2]))}/(api|core|models|services)/")
MAX_STATEMENTS = 8  # of an operation
LAST_USES = "WITH unlocked AS"  # written once per second for all requests, but in tests for each


@contextmanager
def count_statements(connection: AsyncConnection) -> Generator[list[str]]:
    """Collect the statements that the connection executes in this context.

    Statements that are sent without SQLAlchemy are included.
    """
    statements: list[str] = []
    protocol = _find_protocol(connection)

    def count(sent: RoundTrip) -> None:
        if sent.connection is protocol and sent.is_statement:
            statements.append(sent.statement)

    with listen_to_round_trips(count):
        yield statements


@contextmanager
def collect_repeated_round_trips(connection: AsyncConnection) -> Generator[list[str]]:
    """Collect what the connection sends in this context, with transaction control.

    What is prepared once for each connection is left out.
    """
    sent_texts: list[str] = []
    protocol = _find_protocol(connection)

    def collect(sent: RoundTrip) -> None:
        if sent.connection is protocol and not sent.is_one_time:
            sent_texts.append(sent.statement)

    with listen_to_round_trips(collect):
        yield sent_texts


def _find_protocol(connection: AsyncConnection) -> Any:
    pooled = connection.sync_connection
    assert pooled is not None
    return getattr(pooled.connection.driver_connection, "_protocol")  # noqa: B009


@contextmanager
def count_all_statements(*, with_last_uses: bool = False) -> Generator[list[str]]:
    """Collect the statements of all connections in this context, without transaction control."""
    statements: list[str] = []

    def count(sent: RoundTrip) -> None:
        is_last_uses = sent.statement.startswith(LAST_USES)
        if sent.is_statement and (with_last_uses or not is_last_uses):
            statements.append(sent.statement)

    with listen_to_round_trips(count):
        yield statements


@contextmanager
def collect_built_statements() -> Generator[list[str]]:
    """Collect where the product builds statements in this context, as `module:line`."""
    places: list[str] = []

    def collecting(build: Any) -> Any:
        def collect(self: Any, *values: Any, **options: Any) -> None:
            build(self, *values, **options)
            own = [frame for frame in traceback.extract_stack() if PRODUCT.match(frame.filename)]
            places.extend(f"{frame.filename}:{frame.lineno}" for frame in own[-1:])

        return collect

    with ExitStack() as stack:
        for kind in (Select, Insert, Update, Delete, TextClause):
            stack.enter_context(patch.object(kind, "__init__", collecting(kind.__init__)))
        yield places


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
