"""Run compiled statements and deletions in the transaction of a session, and lock names in it."""

import asyncio
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import asyncpg
from sqlalchemy import ClauseElement, ColumnElement, delete, func, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from core.db.compiled_statement import CompiledStatement

DELETION_BATCH_SIZE = 500  # rows that a job deletes in one transaction, so that others wait briefly

_connections: WeakKeyDictionary[SessionTransaction, asyncpg.Connection] = WeakKeyDictionary()
"""The connection of each transaction and savepoint that has run a compiled statement."""


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


async def lock_name(session: AsyncSession, name: str) -> None:
    """Wait until no other transaction has locked a name, and lock it until the end of this one."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


async def try_lock_name(session: AsyncSession, name: str) -> bool:
    """Lock a name until the end of the transaction; return False if another one has locked it."""
    key = func.hashtextextended(name, 0)
    return bool(await session.scalar(select(func.pg_try_advisory_xact_lock(key))))


async def delete_unlocked(
    session: AsyncSession,
    model: type[Any],
    condition: ColumnElement[bool],
    *,
    limit: int = DELETION_BATCH_SIZE,
) -> int:
    """Delete the rows that match and that nobody has locked, at most `limit`; return their number.

    For jobs, which repeat it until nothing is left: a deletion of a board or an account that waits
    for some of the rows may have locked others.
    """
    free = select(model.id).where(condition).limit(limit).with_for_update(skip_locked=True)
    deleted = delete(model).where(model.id.in_(free)).returning(model.id)
    return len((await session.scalars(deleted)).all())


async def fetch_in_transaction(
    session: AsyncSession, text: str, arguments: Sequence[object]
) -> list[asyncpg.Record]:
    """Send what the session has collected, run a statement, and return its rows.

    Raises DBAPIError, as the session does.
    """
    connection = await _get_connection(session)
    with _translate_errors(connection, text):
        return await connection.fetch(text, *arguments)


async def execute_many_in_transaction(
    session: AsyncSession, text: str, arguments: Sequence[Sequence[object]]
) -> None:
    """Send what the session has collected, and run a statement for each list of arguments.

    Raises DBAPIError, as the session does.
    """
    connection = await _get_connection(session)
    with _translate_errors(connection, text):
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
    # The adapter begins with the first statement that it sends, which is not one of ours. It has no
    # public method for that, and a statement for it alone would be one more round trip.
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
def _translate_errors(connection: asyncpg.Connection, statement: str) -> Generator[None]:
    """Raise the errors of asyncpg as those of SQLAlchemy, without the parameters."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            connection.terminate()  # its pool then replaces all connections
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
        built = entity()
        vars(built).update(values)
        make_transient_to_detached(built)
        session.add(built)
        return built
    if is_fresh:
        session.expire(known)
    for name in values.keys() - vars(known).keys():
        set_committed_value(known, name, values[name])
    return known
