"""The read pool: values as its connections read and write them, and what they may not do."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import bindparam, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from core.config.settings import Settings
from core.db.engine import PoolBusy, ReadPool, is_pool_busy, is_temporary_error
from core.db.reads import CombinedQuery, Query, ReadConnection

VALUE = {"name": "Ada", "sizes": [1, 2.5, None], "text": 'a "quoted" \\ text'}
GIVEN: Query[tuple[object]] = Query(select(bindparam("given", type_=JSONB)))


@pytest.fixture
async def reader(settings: Settings) -> AsyncIterator[ReadConnection]:
    pool = ReadPool(settings.dsn, 1)
    async with pool.acquire() as connection:
        yield connection
    await pool.close()


async def test_json_is_read_in_columns_rows_and_arrays(reader: ReadConnection) -> None:
    statement = """select '{"a": 1}'::jsonb, '[1]'::json, row('{}'::jsonb),
        array(select row('[2]'::jsonb, '3'::json))"""
    [row] = await reader.fetch(statement)
    assert tuple(row) == ({"a": 1}, [1], ({},), [([2], 3)])


async def test_json_parameters_arrive_unchanged(reader: ReadConnection) -> None:
    assert await GIVEN.fetch(reader, given=VALUE) == [(VALUE,)]


async def test_a_combined_query_returns_the_rows_of_each_query(reader: ReadConnection) -> None:
    nothing: Query[int] = Query(select(literal(1)).where(literal(value=False)), lambda row: row[0])
    found = await CombinedQuery(GIVEN, nothing, GIVEN).fetch(reader, given=VALUE)
    assert found == [[(VALUE,)], [], [(VALUE,)]]


async def test_a_read_connection_cannot_write(reader: ReadConnection) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await reader.fetch("create table shelf (id int)")


async def test_a_statement_that_is_cancelled_frees_its_connection(settings: Settings) -> None:
    pool = ReadPool(settings.dsn, 1)
    with pytest.raises(TimeoutError):
        async with pool.acquire() as connection, asyncio.timeout(0.01):
            await connection.fetch("select pg_sleep(300)")
    async with pool.acquire() as connection:
        assert [tuple(row) for row in await connection.fetch("select 1")] == [(1,)]
    await pool.close()


async def test_a_pool_whose_connections_are_all_in_use_says_so(settings: Settings) -> None:
    pool = ReadPool(settings.dsn, 1)
    async with pool.acquire():
        pool.timeout = 0.01
        with pytest.raises(PoolBusy, match="all 1 connections are in use") as caught:
            async with pool.acquire():
                raise AssertionError("there is no second connection")
    assert is_pool_busy(caught.value)
    assert is_temporary_error(caught.value)
    await pool.close()
