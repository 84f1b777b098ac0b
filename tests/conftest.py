"""What the tests stand on: a migrated database, and work that is undone after each test."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import TypeAlias

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

from kit.postgres import EmbeddedPostgres
from kit.settings import Settings
from tests.side_by_side import ByFile, longest_first
from tests.world import KEY, World, a_world

ROOT = Path(__file__).parent.parent
MEMORY = Path("/dev/shm")  # a disk in memory, where there is one
ROOMY = 8_000_000_000  # bytes
TEMPLATE = "mission_control_template"

Transaction: TypeAlias = Callable[[], AbstractAsyncContextManager[AsyncSession]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    longest_first(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile | None:
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def elsewhere() -> Iterator[Path]:
    """Where root's databases go, since PostgreSQL's account may not enter pytest's own folders.

    None of them waits for the disk: processes die in these tests, but not the machine.
    """
    is_roomy = MEMORY.exists() and shutil.disk_usage(MEMORY).free > ROOMY
    where = MEMORY if is_roomy else None
    folder = Path(tempfile.mkdtemp(prefix="mission-control-tests-", dir=where))
    folder.chmod(0o711)
    os.environ |= {"MC_PG_ELSEWHERE": str(folder), "MC_PG_OPTIONS": "fsync=off"}
    try:
        yield folder
    finally:
        del os.environ["MC_PG_ELSEWHERE"], os.environ["MC_PG_OPTIONS"]
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server(elsewhere: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL server: MC_TEST_SERVER, or one that is started for this run."""
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
def template(server: str) -> str:
    """The name of a database that is migrated and empty, to make copies of."""
    name = f"{TEMPLATE}_{os.getpid()}"
    asyncio.run(_run(server, f'drop database if exists "{name}"', f'create database "{name}"'))
    asyncio.run(migrate(_database(server, name).sqlalchemy_url))
    return name


@pytest.fixture(scope="session")
def settings(server: str, template: str) -> Iterator[Settings]:
    """A database that the tests share; what one test does there is undone before the next."""
    with copy_of(template, server, "test") as copied:
        yield copied


@contextmanager
def copy_of(template: str, server: str, purpose: str) -> Generator[Settings]:
    """A database like another one, for as long as the block lasts."""
    name = f"mission_control_{purpose}_{os.getpid()}"
    asyncio.run(_run(server, f'create database "{name}" template "{template}"'))
    try:
        yield _database(server, name)
    finally:
        asyncio.run(_run(server, f'drop database "{name}" with (force)'))


@pytest.fixture
async def own_settings(server: str, template: str) -> AsyncIterator[Settings]:
    """A database for one test alone, where commits are real."""
    name = f"mission_control_own_{os.getpid()}"
    await _run(server, f'create database "{name}" template "{template}"')
    try:
        yield _database(server, name)
    finally:
        await _run(server, f'drop database "{name}" with (force)')


@pytest.fixture
async def transaction(settings: Settings) -> AsyncIterator[Transaction]:
    """Opens transactions as the app does. All that they commit is undone after the test."""
    async with undone(settings) as (_, transaction):
        yield transaction


@asynccontextmanager
async def undone(settings: Settings) -> AsyncGenerator[tuple[AsyncConnection, Transaction]]:
    """A connection, and what opens transactions on it; all of that is undone after the block."""
    async with shared_engine(settings.sqlalchemy_url).connect() as connection:
        everything = await connection.begin()
        transaction = async_sessionmaker(
            connection, expire_on_commit=False, join_transaction_mode="create_savepoint"
        ).begin
        try:
            yield connection, transaction
        finally:
            await everything.rollback()


@cache
def shared_engine(url: str) -> AsyncEngine:
    """An engine that all tests share, since what it has compiled once it keeps.

    It has no pool: a connection belongs to the event loop of its test.
    """
    return create_async_engine(url, poolclass=NullPool)


@pytest.fixture
async def real_transaction(own_settings: Settings) -> AsyncIterator[Transaction]:
    """Opens transactions whose commits are real, on a database of the test's own."""
    engine = create_async_engine(own_settings.sqlalchemy_url, pool_size=10)
    try:
        yield async_sessionmaker(engine, expire_on_commit=False).begin
    finally:
        await engine.dispose()


@pytest.fixture
async def session(transaction: Transaction) -> AsyncIterator[AsyncSession]:
    async with transaction() as session:
        yield session


@pytest.fixture
async def world(transaction: Transaction) -> World:
    """The world, in the database whose work is undone."""
    return await build_world(transaction)


@pytest.fixture
async def real_world(real_transaction: Transaction) -> World:
    """The world, in the test's own database."""
    return await build_world(real_transaction)


async def build_world(transaction: Transaction) -> World:
    world = a_world()
    async with transaction() as session:
        session.add_all([world.tern, world.plover])
        await session.flush()
        session.add_all(world.rows())
        await session.flush()
        session.add_all([world.bobs_access, world.ritas_access])
    return world


async def migrate(url: str) -> None:
    """Bring a database to the newest version."""
    async with shared_engine(url).begin() as connection:
        config = Config(toml_file=ROOT / "pyproject.toml")

        def upgrade(sync_connection: object) -> None:
            config.attributes["connection"] = sync_connection
            command.upgrade(config, "head")

        await connection.run_sync(upgrade)


async def _run(server: str, *statements: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def _database(server: str, name: str) -> Settings:
    url = make_url(server).set(database=name)
    address = url.render_as_string(hide_password=False)
    return Settings(database_url=address, secret_key=KEY)
