"""The pool of database connections."""

import asyncio
import logging
from contextlib import AsyncExitStack

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from core.config.settings import Settings
from core.db.engine import (
    ReadPool,
    create_database_engine,
    create_direct_engine,
    is_temporary_error,
)

BACKENDS = "select pg_terminate_backend(unnest($1::int[]), 5000)"
WAIT = 10  # seconds


async def open_connections(engine: AsyncEngine, count: int) -> list[int]:
    """Open connections at once and return them to the pool; return their server processes."""
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(engine.connect()) for _ in range(count)]
        found = [await one.scalar(text("select pg_backend_pid()")) for one in connections]
    return [int(pid) for pid in found if pid]


@pytest.mark.parametrize("count", [1, 5])
async def test_connections_that_the_server_has_closed_are_replaced(
    isolated_settings: Settings, count: int
) -> None:
    engine = create_database_engine(isolated_settings)
    operator = await asyncpg.connect(isolated_settings.dsn)
    try:
        old = await open_connections(engine, count)
        assert len(set(old)) == count
        await operator.execute(BACKENDS, old)
        found = old
        async with asyncio.timeout(WAIT):
            while set(found) & set(old):
                await operator.execute("select 1")  # the event loop reads the end of the others
                try:
                    found = await open_connections(engine, count)
                except DBAPIError as error:
                    if not is_temporary_error(error):  # it has not read all of it
                        raise
        new = await open_connections(engine, count)
        assert not set(old) & set(new)
    finally:
        await operator.close()
        await engine.dispose()


@pytest.mark.parametrize("is_pooled", [False, True])
async def test_the_server_ends_a_transaction_whose_process_is_frozen(
    isolated_settings: Settings, is_pooled: bool
) -> None:
    """So that others get its locks, also if the session is that of a pooler."""
    direct = isolated_settings.database_url if is_pooled else ""
    settings = isolated_settings.model_copy(update={"database_direct_url": direct})
    engines = [create_database_engine(settings, max_idle=idle) for idle in (0.2, None)]
    frozen, other = engines
    lock = text("select pg_advisory_xact_lock(1)")
    async with frozen.connect() as connection, other.begin() as waiting:
        await connection.execute(lock)
        await waiting.execute(lock)
        with pytest.raises(DBAPIError) as raised:
            await connection.execute(text("select 1"))
        assert is_temporary_error(raised.value)
    for engine in engines:
        await engine.dispose()


async def test_a_connection_is_not_tested_with_a_statement(isolated_settings: Settings) -> None:
    engine = create_database_engine(isolated_settings)
    operator = await asyncpg.connect(isolated_settings.dsn)
    last_statement = "select state_change from pg_stat_activity where pid = $1"
    try:
        [pid] = await open_connections(engine, 1)
        before = await operator.fetchval(last_statement, pid)
        async with engine.connect():
            assert await operator.fetchval(last_statement, pid) == before
    finally:
        await operator.close()
        await engine.dispose()


async def test_a_read_pool_without_any_use_can_be_closed(isolated_settings: Settings) -> None:
    await ReadPool(isolated_settings.dsn, 1).close()


def test_the_url_of_an_engine_has_no_password() -> None:
    """SQLAlchemy shows it, and hides only what it knows as a password."""
    settings = Settings(database_url="postgresql://us:hunter2@nowhere/none")
    for engine in (create_database_engine(settings), create_direct_engine(settings)):
        assert "hunter2" not in repr(engine.url)


def test_the_pool_logs_with_the_level_of_sqlalchemy() -> None:
    engine = create_database_engine(Settings(database_url="postgresql://nowhere/none"))
    logger = engine.sync_engine.pool.logger
    assert isinstance(logger, logging.Logger)
    assert logger.name == "sqlalchemy.pool"
