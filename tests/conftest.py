"""Fixtures of all tests: a migrated database whose changes are rolled back after each test."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from xdist.remote import Producer

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from embedded_postgres.instance import EmbeddedPostgres
from tests.support.world import SECRET_KEY, World, make_world
from tests.support.xdist_order import FileScheduling, sort_longest_first

ROOT = Path(__file__).parent.parent
MEMORY_DISK = Path("/dev/shm")  # a disk in memory, if the machine has one
MIN_FREE_BYTES = 8_000_000_000  # bytes
TEMPLATE_PREFIX = "mission_control_template"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    sort_longest_first(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling | None:
    return FileScheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def postgres_root() -> Iterator[Path]:
    """The folder of databases that root starts: PostgreSQL's account cannot read pytest's folders.

    The databases do not wait for the disk (fsync=off): tests kill processes, but not the machine.
    """
    is_roomy = MEMORY_DISK.exists() and shutil.disk_usage(MEMORY_DISK).free > MIN_FREE_BYTES
    where = MEMORY_DISK if is_roomy else None
    folder = Path(tempfile.mkdtemp(prefix="mission-control-tests-", dir=where))
    folder.chmod(0o711)
    os.environ |= {"MC_PG_ELSEWHERE": str(folder), "MC_PG_OPTIONS": "fsync=off"}
    try:
        yield folder
    finally:
        del os.environ["MC_PG_ELSEWHERE"], os.environ["MC_PG_OPTIONS"]
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server(postgres_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of a PostgreSQL server: MC_TEST_SERVER, or one that is started for this run."""
    given = os.environ.get("MC_TEST_SERVER")
    if given:
        yield given
        return
    fast = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    folder = tmp_path_factory.mktemp("postgres") / "data"
    postgres = EmbeddedPostgres(folder, tuning=fast)
    try:
        yield postgres.start()
    finally:
        postgres.stop()


@pytest.fixture(scope="session")
def template_database(postgres_server: str) -> str:
    """The name of a migrated, empty database that is copied for tests."""
    name = f"{TEMPLATE_PREFIX}_{os.getpid()}"
    drop, create = f'drop database if exists "{name}"', f'create database "{name}"'
    asyncio.run(_execute(postgres_server, drop, create))
    asyncio.run(migrate_database(_settings_for(postgres_server, name).sqlalchemy_url))
    return name


@pytest.fixture(scope="session")
def settings(postgres_server: str, template_database: str) -> Iterator[Settings]:
    """The settings of a database that tests share; each test's changes are rolled back."""
    with copy_database(template_database, postgres_server, "test") as copied:
        yield copied


@contextmanager
def copy_database(template: str, server: str, purpose: str) -> Generator[Settings]:
    """Copy a database for the duration of the block; yield the settings of the copy."""
    name = f"mission_control_{purpose}_{os.getpid()}"
    asyncio.run(_execute(server, f'create database "{name}" template "{template}"'))
    try:
        yield _settings_for(server, name)
    finally:
        asyncio.run(_execute(server, f'drop database "{name}" with (force)'))


@pytest.fixture
async def isolated_settings(
    postgres_server: str, template_database: str
) -> AsyncIterator[Settings]:
    """The settings of a database for one test, in which commits are permanent."""
    name = f"mission_control_own_{os.getpid()}"
    await _execute(postgres_server, f'create database "{name}" template "{template_database}"')
    try:
        yield _settings_for(postgres_server, name)
    finally:
        await _execute(postgres_server, f'drop database "{name}" with (force)')


@pytest.fixture
async def transaction(settings: Settings) -> AsyncIterator[TransactionFactory]:
    """A transaction factory like the app's; everything is rolled back after the test."""
    async with rolled_back(settings) as (_, transaction):
        yield transaction


@asynccontextmanager
async def rolled_back(
    settings: Settings,
) -> AsyncGenerator[tuple[AsyncConnection, TransactionFactory]]:
    """Yield a connection and a transaction factory on it; roll everything back at the end."""
    async with get_shared_engine(settings.sqlalchemy_url).connect() as connection:
        outer = await connection.begin()
        transaction = async_sessionmaker(
            connection, expire_on_commit=False, join_transaction_mode="create_savepoint"
        ).begin
        try:
            yield connection, transaction
        finally:
            await outer.rollback()


@cache
def get_shared_engine(url: str) -> AsyncEngine:
    """Return an engine that all tests share, because it caches compiled statements.

    It has no pool, because a connection belongs to the event loop of its test.
    """
    return create_async_engine(url, poolclass=NullPool)


@pytest.fixture
async def isolated_transaction(isolated_settings: Settings) -> AsyncIterator[TransactionFactory]:
    """A transaction factory on the test's own database, in which commits are permanent."""
    engine = create_async_engine(isolated_settings.sqlalchemy_url, pool_size=10)
    try:
        yield async_sessionmaker(engine, expire_on_commit=False).begin
    finally:
        await engine.dispose()


@pytest.fixture
async def session(transaction: TransactionFactory) -> AsyncIterator[AsyncSession]:
    async with transaction() as session:
        yield session


@pytest.fixture
async def world(transaction: TransactionFactory) -> World:
    """The test data, in the shared database."""
    return await store_world(transaction)


@pytest.fixture
async def isolated_world(isolated_transaction: TransactionFactory) -> World:
    """The test data, in the test's own database."""
    return await store_world(isolated_transaction)


async def store_world(transaction: TransactionFactory) -> World:
    world = make_world()
    async with transaction() as session:
        session.add_all([world.tern, world.plover])
        await session.flush()
        session.add_all(world.all_rows())
        await session.flush()
        session.add_all([world.bob_access, world.rita_access])
    return world


async def migrate_database(url: str) -> None:
    """Migrate a database to the newest version."""
    async with get_shared_engine(url).begin() as connection:
        config = Config(toml_file=ROOT / "pyproject.toml")

        def upgrade(sync_connection: object) -> None:
            config.attributes["connection"] = sync_connection
            command.upgrade(config, "head")

        await connection.run_sync(upgrade)


async def _execute(server: str, *statements: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def _settings_for(server: str, name: str) -> Settings:
    url = make_url(server).set(database=name)
    address = url.render_as_string(hide_password=False)
    return Settings(database_url=address, secret_key=SECRET_KEY)
