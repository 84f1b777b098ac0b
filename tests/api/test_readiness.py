"""What `/readyz` reports, with real failures of the database."""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from cli.migrate import migrate_database
from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.security.encryption import SecretCipher
from services import secret_keys
from services.readiness import CheckName, ReadinessChecker, run_checks
from tests.conftest import ROOT
from tests.support.api_fixtures import create_client
from tests.support.app_on_transactions import build_app_on
from tests.support.secret_key import CIPHER
from tests.support.tiers import repetition

ROLE = f"readiness_test_{os.getpid()}"
READY = (200, {"ok": True})


@pytest.fixture(autouse=True)
async def _stored_key(isolated_transaction: TransactionFactory) -> None:
    async with isolated_transaction() as session:
        await secret_keys.register_key(session, CIPHER)


@pytest.fixture
async def owner(isolated_settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the role that owns the tables."""
    connection = await asyncpg.connect(isolated_settings.dsn)
    yield connection
    await connection.close()


async def get_readiness(settings: Settings, role: str = "") -> tuple[int, Any]:
    """Ask a new server, whose connections have a role."""
    server_settings = {"role": role} if role else {}
    engine = create_async_engine(
        settings.sqlalchemy_url, connect_args={"server_settings": server_settings}
    )
    client = create_client(build_app_on(settings, async_sessionmaker(engine).begin), None)
    response = await client.get("http://mission.test/readyz")
    await engine.dispose()
    return response.status_code, response.json()


async def test_a_server_with_all_it_needs_is_ready(isolated_settings: Settings) -> None:
    assert await get_readiness(isolated_settings) == READY


async def test_a_read_only_database_is_not_ready(
    isolated_settings: Settings, owner: asyncpg.Connection
) -> None:
    name = await owner.fetchval("select current_database()")
    await owner.execute(f'alter database "{name}" set default_transaction_read_only = on')
    found = await get_readiness(isolated_settings)
    assert found == (503, {"ok": False, "failed": ["write"]})


@pytest.fixture
async def role(owner: asyncpg.Connection) -> AsyncIterator[str]:
    """A role with the rights that docs/audit.md gives to the application."""
    page = (ROOT / "docs/audit.md").read_text()
    [block] = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    await owner.execute(block.replace("mission_control_app", ROLE))
    yield ROLE
    await owner.execute(f"drop owned by {ROLE}; drop role {ROLE}")


async def test_the_role_of_the_documentation_is_ready(
    isolated_settings: Settings, role: str
) -> None:
    assert await get_readiness(isolated_settings, role) == READY


async def test_a_role_without_a_right_is_not_ready(
    isolated_settings: Settings, owner: asyncpg.Connection, role: str
) -> None:
    await owner.execute(f"revoke insert on tasks from {role}")
    found = await get_readiness(isolated_settings, role)
    assert found == (503, {"ok": False, "failed": ["rights"]})
    await owner.execute(f"revoke all on encryption_keys, write_checks from {role}")
    found = await get_readiness(isolated_settings, role)
    assert found == (503, {"ok": False, "failed": ["rights", "key", "write"]})


async def test_tables_of_a_newer_release_do_not_stop_the_previous_one(
    isolated_settings: Settings, owner: asyncpg.Connection, role: str
) -> None:
    await owner.execute("create table newer (id bigserial primary key)")
    await owner.execute(f"revoke all on newer from {role}")
    assert await get_readiness(isolated_settings, role) == READY


async def test_the_role_of_the_documentation_can_use_later_tables_at_once(
    isolated_settings: Settings, owner: asyncpg.Connection, role: str
) -> None:
    await owner.execute("create table newer (id bigserial primary key, name text)")
    await owner.execute(f"set role {role}")
    await owner.execute("insert into newer (name) values ('a')")
    assert await owner.fetchval("update newer set name = 'b' returning name") == "b"
    await owner.execute("delete from newer")
    await owner.execute("reset role")


async def test_a_role_that_cannot_end_audits_gets_a_warning(
    isolated_settings: Settings, owner: asyncpg.Connection, role: str
) -> None:
    await owner.execute(f"revoke execute on function delete_audit_chain from {role}")
    found = await get_readiness(isolated_settings, role)
    assert found == (200, {"ok": True, "warnings": ["functions"]})


@pytest.mark.parametrize("function", ["delete_audit_chain", "drop_audit_records"])
async def test_a_public_function_of_the_audit_is_corrected_by_migrate(
    isolated_settings: Settings, owner: asyncpg.Connection, function: str
) -> None:
    """pg_restore without the rights gives everybody the right to call a function."""
    await owner.execute(f"grant execute on function {function} to public")
    found = await get_readiness(isolated_settings)
    assert found == (200, {"ok": True, "warnings": ["functions"]})
    await migrate_database(isolated_settings)
    assert await get_readiness(isolated_settings) == READY


async def test_a_role_that_cannot_record_events_is_not_ready(
    isolated_settings: Settings, owner: asyncpg.Connection, role: str
) -> None:
    await owner.execute("revoke execute on function record_at_commit from public")
    found = await get_readiness(isolated_settings, role)
    assert found == (503, {"ok": False, "failed": ["rights"]})
    await owner.execute(f"grant execute on function record_at_commit to {role}")
    assert await get_readiness(isolated_settings, role) == READY


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("alter table event_commits disable trigger record_events", marks=repetition),
        "alter table event_commits enable replica trigger record_events",
        "drop trigger record_events on event_commits",
    ],
)
async def test_a_trigger_of_events_that_does_not_run_is_not_ready(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    owner: asyncpg.Connection,
    change: str,
) -> None:
    """Changes would be committed without their events and audit records."""
    definition = "select pg_get_triggerdef(oid) from pg_trigger where tgname = 'record_events'"
    defined = await owner.fetchval(definition)
    await owner.execute(change)
    found = await get_readiness(isolated_settings)
    assert found == (503, {"ok": False, "failed": ["rights"]})
    results = await run_checks(isolated_transaction, isolated_settings, CIPHER)
    [problem] = [result.problem for result in results if result.problem]
    [command] = re.findall(r"owner, run (.*?)\.(?: |$)", problem)
    await owner.execute(command)
    assert await get_readiness(isolated_settings) == READY
    assert await owner.fetchval(definition) == defined
    await owner.execute("alter table event_commits enable always trigger record_events")
    assert await get_readiness(isolated_settings) == READY


async def test_a_missing_function_of_events_is_not_ready(
    isolated_settings: Settings, owner: asyncpg.Connection
) -> None:
    await owner.execute("drop function record_at_commit")
    found = await get_readiness(isolated_settings)
    assert found == (503, {"ok": False, "failed": ["rights"]})


async def test_another_key_is_not_ready(isolated_settings: Settings) -> None:
    other = isolated_settings.model_copy(update={"secret_key": "another key, of enough characters"})
    assert await get_readiness(other) == (503, {"ok": False, "failed": ["key"]})


@pytest.fixture
def small_disk(postgres_root: Path) -> Iterator[Path]:
    """A file system of 4 MB in a folder that PostgreSQL can access."""
    folder = postgres_root / "small-disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "tmpfs", str(folder)]
    try:
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only root can mount a file system")
        yield folder
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()


def create_tablespace_folder(parent: Path, backend_pid: int) -> Path:
    """Create a folder that belongs to the account of PostgreSQL."""
    folder, account = parent / "space", Path(f"/proc/{backend_pid}").stat()
    folder.mkdir()
    os.chown(folder, account.st_uid, account.st_gid)
    return folder


def fill_disk(file: Path) -> None:
    """Write until nothing more fits."""
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while filler.write(b"x" * 4096):
            pass


async def test_a_full_disk_of_the_database_is_not_ready(
    isolated_settings: Settings,
    owner: asyncpg.Connection,
    small_disk: Path,
) -> None:
    space = create_tablespace_folder(small_disk, await owner.fetchval("select pg_backend_pid()"))
    await owner.execute(f"create tablespace {ROLE} location '{space}'")
    try:
        await owner.execute(f"alter table write_checks set tablespace {ROLE}")
        assert await get_readiness(isolated_settings) == READY
        fill_disk(small_disk / "filler")
        found = await get_readiness(isolated_settings)
        assert found == (503, {"ok": False, "failed": ["write"]})
        full = isolated_settings.model_copy(update={"data_dir": small_disk})
        status, content = await get_readiness(full)
        assert (status, content["warnings"]) == (503, ["space"])
        (small_disk / "filler").unlink()
        assert await get_readiness(isolated_settings) == READY
    finally:
        await owner.execute("alter table write_checks set tablespace pg_default")
        await owner.execute(f"drop tablespace {ROLE}")


async def test_a_different_clock_is_reported(
    isolated_settings: Settings, isolated_transaction: TransactionFactory
) -> None:
    for seconds, is_reported in ((-60, True), (-2, False), (2, False), (60, True)):
        results = await run_checks(
            isolated_transaction,
            isolated_settings,
            CIPHER,
            clock=lambda late=timedelta(seconds=seconds): now() + late,
        )
        [clock] = [result for result in results if result.name == CheckName.CLOCK]
        assert bool(clock.problem) is is_reported


async def test_concurrent_and_frequent_probes_share_one_check(
    isolated_settings: Settings, isolated_transaction: TransactionFactory
) -> None:
    opened, moment, listener = 0, 100.0, PostgresListener()

    @asynccontextmanager
    async def counted() -> AsyncGenerator[AsyncSession]:
        nonlocal opened
        opened += 1
        async with isolated_transaction() as session:
            yield session

    checker = ReadinessChecker(counted, listener, isolated_settings, CIPHER, clock=lambda: moment)
    await asyncio.gather(*(checker.get_results() for _ in range(20)))
    once = opened
    moment += 4.9
    await checker.get_results()
    assert opened == once > 0
    moment += 0.2
    await checker.get_results()
    assert opened == 2 * once
    listener.report_missed_notification()
    await checker.get_results()
    assert opened == 3 * once


async def test_a_cancelled_probe_does_not_cancel_the_check_of_others(
    isolated_settings: Settings, isolated_transaction: TransactionFactory
) -> None:
    checker = ReadinessChecker(isolated_transaction, PostgresListener(), isolated_settings, CIPHER)
    first = asyncio.create_task(checker.get_results())
    await asyncio.sleep(0)
    second = asyncio.create_task(checker.get_results())
    await asyncio.sleep(0)
    first.cancel()
    assert not any(result.problem for result in await second)


async def test_problems_contain_no_statement_and_no_secret(
    isolated_settings: Settings, isolated_transaction: TransactionFactory
) -> None:
    other = SecretCipher(Settings(secret_key="another key, of enough characters"))
    results = await run_checks(isolated_transaction, isolated_settings, other)
    texts = " ".join(result.problem for result in results)
    assert "another key" not in texts
    assert "insert" not in texts.lower()
