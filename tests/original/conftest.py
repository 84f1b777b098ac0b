"""The stored database of the original, for one test."""

import os
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import make_url

from tests.conftest import COPY
from tests.support.original_data import restore_original

DROP = 'drop database if exists "{}" with (force)'


@pytest.fixture(scope="session")
async def original_template(
    postgres_server: str, server_connection: asyncpg.Connection
) -> AsyncIterator[str]:
    """The name of a database that the original has written, which is copied for tests."""
    name = f"original_template_{os.getpid()}"
    await server_connection.execute(DROP.format(name))
    await server_connection.execute(COPY.format(name, "template0"))
    connection = await asyncpg.connect(postgres_server, database=name)
    await restore_original(connection)
    await connection.close()
    yield name
    await server_connection.execute(DROP.format(name))


@pytest.fixture
async def original_url(
    postgres_server: str, server_connection: asyncpg.Connection, original_template: str
) -> AsyncIterator[str]:
    """The address of a copy of it for one test."""
    name = f"original_{os.getpid()}"
    await server_connection.execute(DROP.format(name))
    await server_connection.execute(COPY.format(name, original_template))
    yield make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
    await server_connection.execute(DROP.format(name))


@pytest.fixture
async def original(original_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection with that database."""
    connection = await asyncpg.connect(original_url)
    yield connection
    await connection.close()
