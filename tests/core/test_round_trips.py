"""The counter of round trips sees all that a request sends, or limits on it would be worthless."""

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from core.config.settings import Settings
from tests.support.round_trips import record_round_trips
from tests.support.statement_counter import count_statements


async def test_begin_and_commit_of_sqlalchemy_are_counted(settings: Settings) -> None:
    engine = create_async_engine(settings.sqlalchemy_url)
    for _ in range(2):  # the first connects and prepares the statement
        with record_round_trips() as log:
            async with engine.begin() as connection:
                await connection.execute(text("select 1"))
    await engine.dispose()
    assert [one.statement.strip("; ") for one in log.all] == ["BEGIN", "select 1", "COMMIT"]
    assert log.statements == ["select 1"]


async def test_a_plain_connection_is_counted_with_its_arguments(settings: Settings) -> None:
    connection = await asyncpg.connect(settings.dsn)
    with record_round_trips() as log:
        await connection.fetchval("select $1::int", 7)
    await connection.close()
    assert [one.method for one in log.all] == ["prepare", "bind_execute"]
    assert [one.arguments for one in log.repeated] == [(7,)]


async def test_rows_that_a_cursor_fetches_later_are_no_new_statement(settings: Settings) -> None:
    connection = await asyncpg.connect(settings.dsn)
    with record_round_trips() as log:
        async with connection.transaction():
            rows = connection.cursor("select generate_series(1, 100)", prefetch=30)
            assert len([row async for row in rows]) == 100
    await connection.close()
    assert log.statements == ["select generate_series(1, 100)"]
    assert len(log.repeated) > 4


async def test_statements_of_another_connection_are_not_counted(settings: Settings) -> None:
    engine = create_async_engine(settings.sqlalchemy_url)
    async with engine.connect() as counted, engine.connect() as other:
        with count_statements(counted) as statements:
            await counted.execute(text("select 1"))
            await other.execute(text("select 2"))
    await engine.dispose()
    assert statements == ["select 1"]
