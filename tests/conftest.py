"""Fixtures of all tests: a migrated database whose changes are rolled back after each test."""

import asyncio
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path

import asyncpg
import pytest
from anyio.pytest_plugin import get_runner
from hypothesis import HealthCheck, settings
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import NullPool, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from xdist.remote import Producer

import services.subscriptions  # noqa: F401 - sets the handlers of hooks
from cli.migrate import migrate_database
from core.config.settings import Settings
from core.db.engine import STATEMENT_CACHE, TransactionFactory
from core.security import secrets
from embedded_postgres.instance import EmbeddedPostgres
from services.identity import passwords
from tests.support.initial_database import INITIAL_DATABASE
from tests.support.preloaded_product import PRODUCT, keep_compiled_templates
from tests.support.savepoint_session import SavepointSession
from tests.support.secret_key import SECRET_KEY
from tests.support.stored_world import StoredWorld
from tests.support.tiers import skip_scale_tests
from tests.support.world import World
from tests.support.xdist_order import FileScheduling, sort_longest_first

# A generated input may take as long as it does on a busy machine.
settings.register_profile(
    "no deadlines", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("no deadlines")

# A shell without job control ignores SIGINT in its background commands, and all programs that these
# start: tests end some of them with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
MEMORY_DISK = Path("/dev/shm")  # a disk in memory, if the machine has one
MIN_FREE_BYTES = 8_000_000_000  # bytes
TEMPLATE_PREFIX = "mission_control_template"
COPY = 'create database "{}" template "{}" strategy file_copy'  # half of the CPU of wal_log
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "max_wal_size": "4GB",
    "io_method": "sync",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""Settings of PostgreSQL for data that is deleted after the tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    sort_longest_first(items)
    skip_scale_tests(items)


def pytest_collection(session: pytest.Session) -> None:
    """Search for no garbage during the collection: it creates a million objects that stay."""
    gc.disable()
    if session.config.args == session.config.getini("testpaths"):
        import_in_own_order(sorted(ROOT.glob("tests/**/test_*.py")))


def import_in_own_order(paths: list[Path]) -> None:
    """Import modules of tests, each process of xdist another part of them first.

    So in a new checkout each module is compiled by one process, and read from a file by the others.
    What a module raises is reported when pytest imports it.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    start = len(paths) * number // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for path in paths[start:] + paths[:start]:
        with suppress(Exception, pytest.skip.Exception):
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """Let the garbage collector ignore what is imported, and search for garbage less often."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 50, 100)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling | None:
    return FileScheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def anyio_backend() -> Iterator[str]:
    """The backend of all tests, with one event loop for a process: connections belong to it."""
    with get_runner("asyncio", {}):
        yield "asyncio"


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Hash passwords at the lowest cost: a real hash takes 0.1 s of a processor."""
    hasher = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "_passwords", PasswordHash((hasher,)))
        patch.setattr(passwords, "DUMMY_HASH", hasher.hash("of nobody"))
        yield


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
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of files that all processes of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def initial_database(run_folder: Path) -> None:
    """Share the files of a migrated database."""
    INITIAL_DATABASE.folder = run_folder / "database"
    INITIAL_DATABASE.folder.mkdir(exist_ok=True)


@pytest.fixture(scope="session", autouse=True)
def preloaded_product(postgres_root: Path, run_folder: Path) -> Iterator[None]:
    """Share compiled templates; end the process from which installations are forked."""
    folder = run_folder / "templates"
    folder.mkdir(exist_ok=True)
    PRODUCT.template_cache = folder
    keep_compiled_templates(folder)
    yield
    PRODUCT.stop()


@pytest.fixture(scope="session")
def postgres_server(postgres_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of a PostgreSQL server: MC_TEST_SERVER, or one that is started for this run."""
    given = os.environ.get("MC_TEST_SERVER")
    if given:
        yield given
        return
    folder = tmp_path_factory.mktemp("postgres") / "data"
    INITIAL_DATABASE.copy_into(folder)
    postgres = EmbeddedPostgres(folder, tuning=FAST)
    try:
        yield postgres.start()
    finally:
        postgres.stop()


@pytest.fixture(scope="session")
def template_database(postgres_server: str) -> str:
    """The name of a migrated, empty database that is copied for tests."""
    if "MC_TEST_SERVER" not in os.environ:
        return str(make_url(postgres_server).database)
    name = f"{TEMPLATE_PREFIX}_{os.getpid()}"
    drop, create = f'drop database if exists "{name}"', f'create database "{name}"'
    asyncio.run(_execute(postgres_server, drop, create))
    asyncio.run(migrate_database(_settings_for(postgres_server, name)))
    return name


@pytest.fixture(scope="session")
def shared_database(postgres_server: str, template_database: str) -> Iterator[Settings]:
    """The settings of a database that tests share; each test's changes are rolled back."""
    with copy_database(template_database, postgres_server, "test") as copied:
        yield copied


@pytest.fixture(scope="session")
def settings(shared_database: Settings) -> Settings:
    """The settings of the shared database. A module may replace them, except for the database."""
    return shared_database


@pytest.fixture(scope="session")
def world_database(postgres_server: str, template_database: str) -> Iterator[Settings]:
    """The settings of a database with the test data; each test's changes are rolled back."""
    with copy_database(template_database, postgres_server, "world") as copied:
        yield copied


@pytest.fixture(scope="session")
async def shared_world(world_database: Settings) -> AsyncIterator[StoredWorld]:
    """The test data in the database that tests share."""
    engine = get_engine(world_database.sqlalchemy_url)
    yield StoredWorld(world_database, engine)
    await engine.dispose()


@pytest.fixture(scope="session")
def world_template(postgres_server: str, template_database: str) -> Iterator[StoredWorld]:
    """The test data in a database that is copied for tests."""
    with copy_database(template_database, postgres_server, "world_template") as copied:
        # its connections are closed at once, because a database in use cannot be copied
        yield StoredWorld(copied, create_async_engine(copied.sqlalchemy_url, poolclass=NullPool))


@contextmanager
def copy_database(template: str, server: str, purpose: str) -> Generator[Settings]:
    """Copy a database for the duration of the block; yield the settings of the copy."""
    name = f"mission_control_{purpose}_{os.getpid()}"
    asyncio.run(_execute(server, COPY.format(name, template)))
    try:
        yield _settings_for(server, name)
    finally:
        asyncio.run(_execute(server, f'drop database "{name}" with (force)'))


@pytest.fixture(scope="session")
async def server_connection(postgres_server: str) -> AsyncIterator[asyncpg.Connection]:
    """The connection on which databases are created for tests: in none that they are copies of."""
    connection = await asyncpg.connect(postgres_server, database="postgres")
    yield connection
    await connection.close()


@pytest.fixture
async def isolated_settings(
    request: pytest.FixtureRequest,
    postgres_server: str,
    server_connection: asyncpg.Connection,
    template_database: str,
    world_template: StoredWorld,
) -> AsyncIterator[Settings]:
    """The settings of a database for one test, in which commits are permanent."""
    template = template_database
    if "isolated_world" in request.fixturenames:
        await world_template.refresh()
        template = world_template.database
    name = f"mission_control_own_{os.getpid()}"
    await _execute_when_unused(server_connection, COPY.format(name, template))
    try:
        yield _settings_for(postgres_server, name)
    finally:
        await server_connection.execute(f'drop database "{name}" with (force)')


@pytest.fixture(scope="session")
async def shared_engine(shared_database: Settings) -> AsyncIterator[AsyncEngine]:
    """The engine of the shared database.

    All tests use its event loop, so that a connection keeps its prepared statements and PostgreSQL
    its caches from test to test.
    """
    engine = get_engine(shared_database.sqlalchemy_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def transaction(
    request: pytest.FixtureRequest,
    settings: Settings,
    shared_engine: AsyncEngine,
    shared_world: StoredWorld,
) -> AsyncIterator[TransactionFactory]:
    """A transaction factory like the app's; everything is rolled back after the test.

    The database is empty, or has the test data if the test uses it.
    """
    if "world" in request.fixturenames:
        await shared_world.refresh()
        settings = shared_world.settings
    async with rolled_back(settings) as (_, transaction):
        yield transaction


@asynccontextmanager
async def rolled_back(
    settings: Settings,
) -> AsyncGenerator[tuple[AsyncConnection, TransactionFactory]]:
    """Yield a connection and a transaction factory on it; roll everything back at the end."""
    async with get_engine(settings.sqlalchemy_url).connect() as connection:
        outer = await connection.begin()
        transaction = async_sessionmaker(
            connection,
            expire_on_commit=False,
            join_transaction_mode="create_savepoint",
            sync_session_class=SavepointSession,
        ).begin
        try:
            yield connection, transaction
        finally:
            await outer.rollback()


@asynccontextmanager
async def rolled_back_changes(transaction: TransactionFactory) -> AsyncGenerator[None]:
    """Roll back the rows that the block changes, inside the transaction of a test.

    Rows are compared inside of the block. Nothing else is undone, such as what rate limiters count.
    A loop over many requests needs it: PostgreSQL reads all versions of a row that its own
    transaction has changed, so that requests become slower and slower.
    """
    async with transaction() as session:
        await session.connection()  # creates a savepoint
        yield
        await session.rollback()


@cache
def get_engine(url: str) -> AsyncEngine:
    """Return an engine that all tests share, because it caches compiled statements.

    Its connections keep prepared statements for many tests, so that they are planned once.

    It must be disposed of at the end of the event loop, to which its connections belong.
    """
    options = STATEMENT_CACHE | {"prepared_statement_cache_size": 1_000}
    return create_async_engine(url, pool_size=10, connect_args=options)


@pytest.fixture
async def isolated_transaction(isolated_settings: Settings) -> AsyncIterator[TransactionFactory]:
    """A transaction factory on the test's own database, in which commits are permanent."""
    engine = get_engine(isolated_settings.sqlalchemy_url)
    try:
        yield async_sessionmaker(engine, expire_on_commit=False).begin
    finally:
        await engine.dispose()


@pytest.fixture
async def session(transaction: TransactionFactory) -> AsyncIterator[AsyncSession]:
    """A session that can read the events that it records, since a test does not commit it."""
    async with transaction() as session:
        await session.execute(text("set constraints record_events immediate"))
        yield session


@pytest.fixture
def world(transaction: TransactionFactory, shared_world: StoredWorld) -> World:
    """The test data, in the database of `transaction`."""
    return shared_world.copy_rows()


@pytest.fixture
def isolated_world(isolated_settings: Settings, world_template: StoredWorld) -> World:
    """The test data, in the test's own database."""
    return world_template.copy_rows()


async def _execute(server: str, *statements: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        for statement in statements:
            await _execute_when_unused(connection, statement)
    finally:
        await connection.close()


async def _execute_when_unused(connection: asyncpg.Connection, statement: str) -> None:
    """Run a statement again while the database that it copies is in use, as by autovacuum."""
    async with asyncio.timeout(60):
        while True:
            try:
                await connection.execute(statement)
            except asyncpg.ObjectInUseError:
                await asyncio.sleep(0.1)
            else:
                return


def _settings_for(server: str, name: str) -> Settings:
    url = make_url(server).set(database=name)
    address = url.render_as_string(hide_password=False)
    return Settings(database_url=address, secret_key=SECRET_KEY)
