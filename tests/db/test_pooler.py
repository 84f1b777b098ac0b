"""PgBouncer in transaction mode in front of PostgreSQL."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from cli.command import CommandError
from cli.database_check import check_connections
from core.config.settings import Settings
from core.db.engine import CONNECTION_SETTINGS
from core.db.listen import PostgresListener
from tests.support.postgres_servers import TcpPostgres, needs_pgbouncer, run_pgbouncer, run_postgres

pytestmark = needs_pgbouncer


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TcpPostgres]:
    with run_postgres(tmp_path_factory.mktemp("postgres") / "data") as postgres:
        yield postgres


async def find_problem(pooled: str, direct: str = "") -> str:
    """Return the error of the start with these addresses."""
    try:
        await check_connections(Settings(database_url=pooled, database_direct_url=direct))
    except CommandError as error:
        return str(error)
    return ""


async def test_both_addresses_are_accepted(postgres: TcpPostgres) -> None:
    with run_pgbouncer(postgres) as pooled:
        assert await find_problem(pooled, postgres.dsn) == ""


@pytest.mark.parametrize("ignored", ["", "jit,lock_timeout,statement_timeout"])
async def test_a_pooler_without_a_direct_address_is_refused(
    postgres: TcpPostgres, ignored: str
) -> None:
    with run_pgbouncer(postgres, ignore_startup_parameters=ignored) as pooled:
        assert "DATABASE_URL leads to a pooler" in await find_problem(pooled)
        assert "DATABASE_DIRECT_URL leads to a pooler" in await find_problem(pooled, pooled)


async def test_a_pooler_without_prepared_statements_is_refused(postgres: TcpPostgres) -> None:
    with run_pgbouncer(postgres, max_prepared_statements=0) as pooled:
        assert "max_prepared_statements" in await find_problem(pooled, postgres.dsn)


async def test_addresses_of_two_databases_are_refused(postgres: TcpPostgres) -> None:
    with run_pgbouncer(postgres) as pooled:
        other = pooled.replace("mission_control", "postgres")
        assert "DATABASE_DIRECT_URL" in await find_problem(other, postgres.dsn)


async def test_sessions_of_the_pooler_have_our_limits(postgres: TcpPostgres) -> None:
    with run_pgbouncer(postgres) as pooled:
        assert await find_problem(pooled, postgres.dsn) == ""
        connection = await asyncpg.connect(pooled)
        for name, value in CONNECTION_SETTINGS.items():
            assert await connection.fetchval("select current_setting($1)", name) == value
        connection.terminate()


async def test_sessions_opened_before_the_first_start_are_named(postgres: TcpPostgres) -> None:
    with run_pgbouncer(postgres) as pooled:
        operator = await asyncpg.connect(postgres.dsn)
        await operator.execute("alter role mc in database mission_control reset all")
        await operator.close()
        connection = await asyncpg.connect(pooled)
        await connection.fetchval("select 1")
        assert "RECONNECT" in await find_problem(pooled, postgres.dsn)
        connection.terminate()


async def test_a_database_that_refuses_the_settings_of_the_role_is_named(
    postgres: TcpPostgres,
) -> None:
    operator = await asyncpg.connect(postgres.dsn)
    change = "alter database mission_control {} default_transaction_read_only"
    await operator.execute("alter role mc in database mission_control reset all")
    await operator.execute(change.format("set") + " = on")
    try:
        with run_pgbouncer(postgres) as pooled:
            problem = await find_problem(pooled, postgres.dsn)
    finally:
        await operator.execute(change.format("reset"))
        await operator.close()
    assert "see DATABASE_DIRECT_URL: cannot execute ALTER ROLE in a read-only" in problem


async def test_a_listener_behind_a_pooler_says_so(postgres: TcpPostgres) -> None:
    with run_pgbouncer(postgres) as pooled:
        listener = PostgresListener()
        listening = asyncio.create_task(listener.listen(pooled))
        async with asyncio.timeout(20):
            while not listener.problem:
                await asyncio.sleep(0.01)
        assert not listener.connected.is_set()
        listening.cancel()
