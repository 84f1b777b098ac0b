"""The stored database of the original, for one test."""

import os
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import make_url

from tests.support.original_data import restore_original

DROP = "drop database if exists {} with (force)"


@pytest.fixture
async def original_url(
    postgres_server: str, server_connection: asyncpg.Connection
) -> AsyncIterator[str]:
    """The address of a database that the original has written."""
    name = f"original_{os.getpid()}"
    await server_connection.execute(DROP.format(name))
    await server_connection.execute(f"create database {name} template template0")
    url = make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    await restore_original(connection)
    await connection.close()
    yield url
    await server_connection.execute(DROP.format(name))


@pytest.fixture
async def original(original_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection with that database."""
    connection = await asyncpg.connect(original_url)
    yield connection
    await connection.close()
