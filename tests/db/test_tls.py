"""Connections to PostgreSQL with TLS, whose certificate is of a private CA."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from cli.command import CommandError
from cli.database_check import check_connections
from cli.postgres_programs import PostgresPrograms
from core.config.settings import Settings
from core.db.engine import ReadPool, create_database_engine, create_direct_engine
from embedded_postgres.data_location import find_bundled_programs
from tests.cli.conftest import run_cli
from tests.support.postgres_servers import (
    find_loopback_address,
    needs_system_postgres,
    run_tls_postgres,
)
from tests.support.tiers import repetition
from tests.support.tls_certificates import PrivateCa

pytestmark = needs_system_postgres

IS_ENCRYPTED = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"


@dataclass(frozen=True)
class TlsDatabase:
    """A database, another name of its server, and the file of its CA."""

    url: str
    other_url: str
    authority: Path

    def settings(self, url: str = "", authority: Path | None = None) -> Settings:
        """Return the settings of a process that verifies the server completely."""
        options = f"sslmode=verify-full&sslrootcert={authority or self.authority}"
        return Settings(database_url=f"{url or self.url}?{options}")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsDatabase]:
    folder = tmp_path_factory.mktemp("tls")
    named, unnamed = find_loopback_address(), find_loopback_address()
    authority = PrivateCa.create()
    authority.create_tls_context(folder, named)
    file = folder / "ca.pem"
    file.write_text(authority.pem)
    certificate = folder / "server.pem"
    with run_tls_postgres(folder / "data", certificate, named, unnamed) as postgres:
        yield TlsDatabase(postgres.url, postgres.url.replace(named, unnamed), file)


async def test_every_connection_is_encrypted_and_verified(database: TlsDatabase) -> None:
    settings = database.settings()
    await check_connections(settings)
    pool = ReadPool(settings.dsn, 1)
    async with pool.acquire() as connection:
        assert (await connection.fetch(IS_ENCRYPTED))[0][0]
    await pool.close()
    for engine in (create_database_engine(settings), create_direct_engine(settings)):
        async with engine.connect() as connection:
            assert await connection.scalar(text(IS_ENCRYPTED))
        await engine.dispose()


async def find_problem(settings: Settings) -> str:
    with pytest.raises(CommandError) as caught:
        await check_connections(settings)
    return str(caught.value)


async def test_an_unknown_certificate_is_refused_with_the_reason(
    database: TlsDatabase, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_text(PrivateCa.create().pem)
    problem = await find_problem(database.settings(authority=other))
    assert "see DATABASE_URL: its certificate is not accepted" in problem
    problem = await find_problem(database.settings(database.other_url))
    assert "certificate is not valid for" in problem
    problem = await find_problem(database.settings(authority=tmp_path / "none.pem"))
    assert f"there is no file {tmp_path}/none.pem (sslrootcert)" in problem


@pytest.mark.parametrize("is_in_address", [True, pytest.param(False, marks=repetition)])
def test_migrations_and_backups_verify_the_server(
    database: TlsDatabase, tmp_path: Path, is_in_address: bool
) -> None:
    url = database.settings().dsn if is_in_address else f"{database.url}?sslmode=verify-full"
    variables = {} if is_in_address else {"PGSSLROOTCERT": str(database.authority)}
    for words in (["migrate"], ["backup", str(tmp_path / "all.dump")]):
        called = run_cli(*words, data=tmp_path / "data", DATABASE_URL=url, **variables)
        assert called.returncode == 0, called.stderr
    assert (tmp_path / "all.dump").stat().st_size > 0


def test_bundled_programs_are_not_used_for_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # other versions may be installed
    bundled = find_bundled_programs()
    url = "postgresql://mc@db/mission_control"
    newest = PostgresPrograms.for_server(Settings(database_url=url), 0).major
    if Path(f"/usr/lib/postgresql/{newest}").exists():
        pytest.skip("the same version is installed from packages of the system")
    assert PostgresPrograms.for_server(Settings(database_url=url), newest).folder == bundled
    with pytest.raises(CommandError, match=f"over TLS .*postgresql-client-{newest}"):
        PostgresPrograms.for_server(Settings(database_url=f"{url}?sslmode=require"), newest)
