"""Run compiled statements in the transaction of a session, on its connection of asyncpg."""

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import asyncpg
from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction, make_transient_to_detached
from sqlalchemy.orm.attributes import manager_of_class, set_committed_value

_connections: WeakKeyDictionary[SessionTransaction, asyncpg.Connection] = WeakKeyDictionary()
"""The connection of each transaction and savepoint that has run a compiled statement."""


async def fetch_in_transaction(
    session: AsyncSession, text: str, arguments: Sequence[object]
) -> list[asyncpg.Record]:
    """Send what the session has collected, run a statement, and return its rows.

    Raises DBAPIError, as the session does.
    """
    connection = await _get_connection(session)
    with _translate_errors(text):
        return await connection.fetch(text, *arguments)


async def execute_many_in_transaction(
    session: AsyncSession, text: str, arguments: Sequence[Sequence[object]]
) -> None:
    """Send what the session has collected, and run a statement for each list of arguments.

    Raises DBAPIError, as the session does.
    """
    connection = await _get_connection(session)
    with _translate_errors(text):
        await connection.executemany(text, arguments)


async def send_pending_changes(session: AsyncSession) -> None:
    """Flush a session, if it has collected something."""
    pending = session.sync_session
    if pending.new or pending.dirty or pending.deleted:
        await session.flush()


async def _get_connection(session: AsyncSession) -> asyncpg.Connection:
    """Return the connection of a transaction, which has begun and knows all changes."""
    await send_pending_changes(session)
    transaction = _get_innermost_transaction(session)
    connection = _connections.get(transaction) if transaction else None
    return connection or await _open_connection(session)


async def _open_connection(session: AsyncSession) -> asyncpg.Connection:
    """Begin the transaction on the server, unless it has begun, and return its connection."""
    opened = await session.connection()
    adapted: Any = (await opened.get_raw_connection()).dbapi_connection
    if adapted._transaction is None:
        try:
            await adapted._start_transaction()
        except asyncio.CancelledError:
            assert opened.sync_connection is not None
            opened.sync_connection.invalidate()  # nobody would end what the server has begun
            raise
        except adapted.dbapi.Error as error:
            raise DBAPIError("BEGIN", None, error, True, connection_invalidated=True) from error
    connection: asyncpg.Connection = adapted.driver_connection
    transaction = _get_innermost_transaction(session)
    assert transaction is not None
    _connections[transaction] = connection
    return connection


def _get_innermost_transaction(session: AsyncSession) -> SessionTransaction | None:
    """Return the open savepoint or transaction. The server gets both at their first use."""
    sync_session = session.sync_session
    return sync_session.get_nested_transaction() or sync_session.get_transaction()


@contextmanager
def _translate_errors(statement: str) -> Generator[None]:
    """Raise the errors of asyncpg as those of SQLAlchemy, without the parameters."""
    try:
        yield
    except asyncpg.InterfaceError as error:
        raise InterfaceError(statement, None, error, hide_parameters=True) from error
    except asyncpg.PostgresError as error:
        raise DBAPIError(statement, None, error, hide_parameters=True) from error


def load_entity(
    session: Session, entity: type[Any], values: Mapping[str, Any], *, is_fresh: bool
) -> Any:
    """Return the object of a session for the columns of a row.

    With `is_fresh` they replace what the session knows of the object, and its changes.
    """
    key = inspect(entity).identity_key_from_primary_key((values["id"],))
    known = session.identity_map.get(key)
    if known is None:
        built = manager_of_class(entity).new_instance()
        vars(built).update(values)
        make_transient_to_detached(built)
        session.add(built)
        return built
    if is_fresh:
        session.expire(known)
    for name in values.keys() - vars(known).keys():
        set_committed_value(known, name, values[name])
    return known
