"""Outages of the database, errors that concern one transaction, and errors of the program."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError
from sqlalchemy.ext.asyncio import AsyncSession

from core.config.settings import Settings
from core.db.engine import (
    ReadPool,
    create_database_engine,
    find_sqlstate,
    is_outage,
    is_temporary_error,
)
from core.db.transactions import fetch_in_transaction
from models import new_id

WAIT = 10  # seconds


def is_fault(error: BaseException) -> bool:
    """Return whether an error is one of the program, which nobody should try again."""
    return not is_temporary_error(error) and not is_outage(error)


async def catch_error(work: Any) -> Exception:
    """Return the error of work."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the test says which
        await work
    return caught.value


async def test_wrong_parameters_are_an_error_of_the_program(
    settings: Settings, session: Any
) -> None:
    """asyncpg raises for their number what it raises for lost connections, an InterfaceError."""
    connection = await session.connection()
    error = await catch_error(connection.exec_driver_sql("select 1", (7,)))
    assert isinstance(error, InterfaceError)
    assert is_fault(error)
    assert is_fault(await catch_error(fetch_in_transaction(session, "select 1", [7])))
    pool = ReadPool(settings.dsn, 1)
    async with pool.acquire() as reader:
        error = await catch_error(reader.fetch("select 1", 7))
        assert isinstance(error, asyncpg.InterfaceError)
        assert is_fault(error)
        assert is_fault(await catch_error(reader.fetch("select $1::integer", "many")))
    await pool.close()


async def test_two_statements_at_once_are_an_error_of_the_program(settings: Settings) -> None:
    pool = ReadPool(settings.dsn, 1)
    async with pool.acquire() as connection:
        answers = (connection.fetch("select pg_sleep(0.1)") for _ in range(2))
        _, error = await asyncio.gather(*answers, return_exceptions=True)
    assert isinstance(error, asyncpg.InterfaceError)
    assert is_fault(error)
    await pool.close()


async def test_an_invalid_statement_is_an_error_of_the_program(session: Any) -> None:
    savepoint = await session.begin_nested()
    assert is_fault(await catch_error(session.execute(text("select from nowhere"))))
    await savepoint.rollback()


async def test_a_statement_that_comes_too_early_is_an_error_of_the_program(session: Any) -> None:
    """Its SQLSTATE is that of a database that accepts no connections."""
    savepoint = await session.begin_nested()
    await session.execute(text("create temporary sequence unused"))
    error = await catch_error(session.execute(text("select currval('unused')")))
    assert find_sqlstate(error) == "55000"
    assert is_fault(error)
    await savepoint.rollback()


@pytest.mark.parametrize("is_idle", [False, True])
async def test_a_connection_that_the_server_has_closed_is_an_outage(
    settings: Settings, is_idle: bool
) -> None:
    engine, pool = create_database_engine(settings, size=1), ReadPool(settings.dsn, 1)
    operator = await asyncpg.connect(settings.dsn)

    async def lose(run: Callable[[str], Awaitable[Any]]) -> None:
        [(pid,)] = await run("select pg_backend_pid()")
        running = None if is_idle else asyncio.ensure_future(run("select pg_sleep(60)"))
        assert await operator.fetchval("select pg_terminate_backend($1, 5000)", pid)
        await asyncio.wait_for(running or run("select 1"), WAIT)

    async def lose_reader() -> None:
        async with pool.acquire() as connection:
            await lose(connection.fetch)

    async def lose_writer() -> None:
        async with AsyncSession(engine) as session:
            await lose(lambda statement: session.execute(text(statement)))

    async def lose_compiled_writer() -> None:
        async with AsyncSession(engine) as session:
            await lose(lambda statement: fetch_in_transaction(session, statement, ()))

    for work in (lose_reader, lose_writer, lose_compiled_writer):
        error = await catch_error(work())
        assert is_outage(error)
        assert is_temporary_error(error)
    await operator.close()
    await pool.close()
    await engine.dispose()


def test_a_group_of_errors_is_temporary_if_all_of_them_are() -> None:
    lost = ConnectionResetError()
    assert is_temporary_error(ExceptionGroup("", [lost, ExceptionGroup("", [lost])]))
    assert not is_temporary_error(ExceptionGroup("", [lost, ValueError()]))


async def test_a_database_that_cannot_be_reached_is_an_outage(
    isolated_settings: Settings, server_connection: asyncpg.Connection
) -> None:
    """It has no address or no socket file, is missing as during a restore, or accepts nobody."""
    closed = f"closed_{new_id().hex}"
    await server_connection.execute(f'create database "{closed}" allow_connections false')
    own = isolated_settings.dsn
    base, _, options = own.partition("?")
    server = base.rpartition("/")[0]
    names = {"3D000": "nothing", "55000": closed}
    addresses = [(code, f"{server}/{name}?{options}") for code, name in names.items()]
    nowhere = ("postgresql://nowhere.invalid/none", "postgresql://mc@/none?host=/no/such/folder")
    addresses += [("", dsn) for dsn in nowhere]
    try:
        for code, dsn in addresses:
            engine = create_database_engine(Settings(database_url=dsn))
            error = await catch_error(engine.connect().start())
            assert find_sqlstate(error) == code
            assert is_outage(error)
            assert is_temporary_error(error)
            await engine.dispose()
            pool = ReadPool(dsn, 1)
            error = await catch_error(pool.acquire().__aenter__())
            assert is_outage(error)
            assert is_temporary_error(error)
    finally:
        await server_connection.execute(f'drop database "{closed}"')


@pytest.mark.parametrize(
    ("error", "is_away"),
    [
        (asyncpg.DeadlockDetectedError("a deadlock"), False),
        (asyncpg.LockNotAvailableError("a lock"), False),
        (asyncpg.QueryCanceledError("a timeout"), False),
        (asyncpg.IdleInTransactionSessionTimeoutError("a frozen process"), False),
        (asyncpg.DiskFullError("no space"), True),
        (asyncpg.TooManyConnectionsError("too many"), True),
        (asyncpg.CannotConnectNowError("starting"), True),
        (asyncpg.AdminShutdownError("stopping"), True),
        (asyncpg.ReadOnlySQLTransactionError("a standby"), True),
        (asyncpg.InternalClientError("cannot switch to state 15"), True),
    ],
)
def test_what_ends_one_transaction_is_temporary_and_no_outage(
    error: Exception, is_away: bool
) -> None:
    wrapped = DBAPIError("select 1", {}, error)
    for one in (error, wrapped):
        assert is_temporary_error(one)
        assert is_outage(one) == is_away
    assert find_sqlstate(wrapped) == getattr(error, "sqlstate", "")


def test_a_connection_whose_end_is_being_read_is_an_outage() -> None:
    reason = "cannot switch to state 15; another operation (2) is in progress"
    ending = AsyncAdapt_asyncpg_dbapi.InternalClientError(
        reason, asyncpg.InternalClientError(reason)
    )
    assert is_outage(InternalError("select 1", {}, ending))
    assert is_fault(InternalError("select 1", {}, Exception("another one")))
