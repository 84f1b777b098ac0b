"""./run backup and ./run restore: all data or no change."""

import re
import shutil
import stat
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import asyncpg
import pytest

from cli.database import open_database
from cli.migrate import SCRIPTS, migrate_database
from cli.postgres_programs import replace_database_name, split_password
from core.config.settings import Settings
from core.security.encryption import KEY_FILE
from embedded_postgres.data_location import find_bundled_programs
from embedded_postgres.instance import USER, EmbeddedPostgres
from tests.cli.conftest import run_cli, sign_up_owner, start_installation
from tests.conftest import ROOT
from tests.support.installation import LOCAL_TOKEN, ApiClient, Installation
from tests.support.tiers import repetition


@dataclass(frozen=True)
class SavedInstallation:
    """A stopped installation with two boards, and a backup with only the first one."""

    data: Path
    file: Path
    printed: str


@pytest.fixture(scope="module")
def saved_installation(tmp_path_factory: pytest.TempPathFactory) -> SavedInstallation:
    folder = tmp_path_factory.mktemp("saved")
    with start_installation(folder) as installation:
        sign_up_owner(installation).close()
        add_board(installation, "Kept")
        file = folder / "of today.dump"
        result = run_cli("backup", str(file), data=installation.data_dir)
        assert result.returncode == 0, result.stderr
        add_board(installation, "Later")
    return SavedInstallation(installation.data_dir, file, result.stdout)


def add_board(installation: Installation, name: str) -> None:
    api = ApiClient(installation.url, LOCAL_TOKEN)
    with closing(api.client):
        api.call("POST", "/auth/bootstrap")
        api.create_board(name)


@contextmanager
def run_postgres(data: Path) -> Generator[str, None, None]:
    """Run the database of an installation without the server; yield its DSN.

    Commands in the block use it, instead of starting and stopping it.
    """
    postgres = EmbeddedPostgres(data)
    yield postgres.start()
    postgres.stop()


async def list_board_names(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("select name from boards")
    await connection.close()
    return {row["name"] for row in rows}


def test_a_backup_says_where_the_key_is_that_it_does_not_contain(
    saved_installation: SavedInstallation,
) -> None:
    key = saved_installation.data / KEY_FILE
    assert key.is_file()
    assert f"keep a copy of {key} in another place" in saved_installation.printed


def test_a_backup_is_readable_only_by_its_owner(saved_installation: SavedInstallation) -> None:
    assert stat.S_IMODE(saved_installation.file.stat().st_mode) == 0o600


async def test_a_backup_can_be_restored_into_an_empty_installation(
    saved_installation: SavedInstallation, tmp_path: Path
) -> None:
    result = run_cli("restore", str(saved_installation.file), data=tmp_path / "data")
    assert result.returncode == 0, result.stderr
    assert "is not the key of this database" in result.stdout
    shutil.copy(saved_installation.data / KEY_FILE, tmp_path / "data")
    with run_postgres(tmp_path / "data") as dsn:
        assert await list_board_names(dsn) == {"Kept"}
    with start_installation(tmp_path) as installation:
        assert not installation.link  # the owner was restored as well


def test_a_restore_says_that_base_url_is_not_the_address_of_the_backup(
    saved_installation: SavedInstallation, tmp_path: Path
) -> None:
    file, data, address = saved_installation.file, tmp_path / "data", "https://control.example.com"
    data.mkdir()
    shutil.copy(saved_installation.data / KEY_FILE, data)
    result = run_cli("restore", str(file), data=data, BASE_URL=address)
    assert result.returncode == 0, result.stderr
    assert f"BASE_URL is {address}, but" in result.stdout
    assert f"./run address {address} --data {data}" in result.stdout
    assert "Start Mission Control" not in result.stdout
    changed = run_cli("address", address, "--yes", data=data)
    assert changed.returncode == 0, changed.stderr
    # The database has users now, so the command needs a confirmation.
    again = run_cli("restore", str(file), "--yes", data=data)
    assert "Start Mission Control" in again.stdout


async def test_a_role_that_cannot_replace_the_database_is_told_what_to_do(
    saved_installation: SavedInstallation, tmp_path: Path
) -> None:
    with run_postgres(tmp_path / "server") as dsn:
        connection = await asyncpg.connect(replace_database_name(dsn, "postgres"))
        await connection.execute(f"create role {ROLE} login")
        url = dsn.replace(f"{USER}@", f"{ROLE}@")

        def restore() -> CompletedProcess[str]:
            file, data = str(saved_installation.file), tmp_path / "data"
            return run_cli("restore", file, data=data, DATABASE_URL=url)

        assert f"set DATABASE_URL to that of the owner, {USER}." in restore().stderr
        await connection.execute(f"alter database mission_control owner to {ROLE}")
        [advice] = re.findall(r"execute: (ALTER ROLE .*)", restore().stderr)
        await connection.execute(advice)
        result = restore()
        await connection.close()
    assert result.returncode == 0, result.stderr


async def test_data_is_not_replaced_without_confirmation(
    saved_installation: SavedInstallation,
) -> None:
    with run_postgres(saved_installation.data) as dsn:
        before = await list_board_names(dsn)
        result = run_cli("restore", str(saved_installation.file), data=saved_installation.data)
        assert result.returncode == 1
        assert "--yes" in result.stderr
        assert await list_board_names(dsn) == before


async def test_data_is_not_replaced_while_it_is_in_use(
    saved_installation: SavedInstallation,
) -> None:
    with run_postgres(saved_installation.data) as dsn:
        before = await list_board_names(dsn)
        other_connection = await asyncpg.connect(dsn)
        result = run_cli(
            "restore", str(saved_installation.file), "--yes", data=saved_installation.data
        )
        await other_connection.close()
        assert result.returncode == 1
        assert "stop Mission Control first" in result.stderr
        assert await list_board_names(dsn) == before


async def test_an_invalid_backup_file_changes_nothing(
    saved_installation: SavedInstallation, tmp_path: Path
) -> None:
    content = saved_installation.file.read_bytes()
    (tmp_path / "cut").write_bytes(content[: len(content) // 2])
    (tmp_path / "text").write_text("no backup")
    with run_postgres(tmp_path / "empty"):
        other = run_cli("backup", str(tmp_path / "of something else"), data=tmp_path / "empty")
    assert other.returncode == 0, other.stderr
    (tmp_path / "newer").write_bytes(content[:6] + b"\xff" + content[7:])  # the minor version
    with run_postgres(saved_installation.data) as dsn:
        before = await list_board_names(dsn)
        for name in ("cut", "text", "of something else", "missing", "newer"):
            result = run_cli("restore", str(tmp_path / name), "--yes", data=saved_installation.data)
            assert result.returncode == 1, name
            assert result.stderr.count("\n") == 1, (name, result.stderr)
        assert "restore it into a newer one" in result.stderr
        assert await list_board_names(dsn) == before


ROLE = "restore_test"
GRANTS = f"""
    create role {ROLE};
    grant usage on schema public to {ROLE};
    grant select, insert on tasks to {ROLE};
    grant execute on function delete_audit_chain to {ROLE};
"""
RIGHTS_QUERY = f"""
    select has_table_privilege('{ROLE}', 'tasks', 'insert') as insert,
        has_table_privilege('{ROLE}', 'tasks', 'delete') as delete,
        has_function_privilege('{ROLE}', 'delete_audit_chain(uuid, integer)', 'execute') as execute,
        exists (
            select from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))
            where proname in ('delete_audit_chain', 'drop_audit_records') and grantee = 0
        ) as is_public
"""


async def test_a_restore_replaces_all_data_and_keeps_the_rights_of_roles(
    saved_installation: SavedInstallation, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    assert run_cli("restore", str(saved_installation.file), data=data).returncode == 0
    with run_postgres(data) as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.execute("update boards set name = 'Changed'")
        await connection.execute(GRANTS)
        await connection.close()
        result = run_cli("restore", str(saved_installation.file), "--yes", data=data)
        assert result.returncode == 0, result.stderr
        assert await list_board_names(dsn) == {"Kept"}
        connection = await asyncpg.connect(dsn)
        rights = dict(await connection.fetchrow(RIGHTS_QUERY))
        await connection.close()
    assert rights == {"insert": True, "delete": False, "execute": True, "is_public": False}


LAST_REVISION_WITHOUT_COMMITS = "0115"  # the next migration adds the table event_commits
DEFAULT_PRIVILEGES = f"""
    alter default privileges revoke execute on functions from public;
    alter default privileges in schema public grant execute on functions to {ROLE};
    alter default privileges in schema public grant select on sequences to {ROLE}
        with grant option;
"""
DEFAULT_PRIVILEGES_QUERY = """
    select defaclrole::regrole::text, defaclnamespace::regnamespace::text, defaclobjtype,
        array(select unnest(defaclacl)::text order by 1)
    from pg_default_acl order by 1, 2, 3
"""
LATER_RIGHTS_QUERY = f"""
    select has_table_privilege('{ROLE}', 'event_commits', 'references') as refer,
        has_table_privilege('{ROLE}', 'event_commits', 'insert') as insert,
        has_table_privilege('{ROLE}', 'event_commits', 'delete') as delete,
        has_function_privilege('{ROLE}', 'record_at_commit(jsonb)', 'execute') as execute,
        has_table_privilege('{ROLE}', 'audit_records', 'update') as change_audit
"""


async def create_old_installation(data: Path, migrations: Path) -> None:
    """Create a database that is not at the newest version."""

    def list_newer(_folder: str, names: list[str]) -> set[str]:
        return {name for name in names if name[:4] > LAST_REVISION_WITHOUT_COMMITS and name < "1"}

    shutil.copytree(SCRIPTS, migrations, ignore=list_newer)
    async with open_database(Settings(data_dir=data)) as settings:
        await migrate_database(settings, migrations)


@repetition
async def test_a_restore_keeps_the_default_privileges_for_later_tables(tmp_path: Path) -> None:
    """The role of docs/audit.md may use tables that the migration after the restore adds."""
    data, file = tmp_path / "data", tmp_path / "old.dump"
    page = (ROOT / "docs/audit.md").read_text()
    [block] = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    with run_postgres(data) as dsn:
        await create_old_installation(data, tmp_path / "migrations")
        assert run_cli("backup", str(file), data=data).returncode == 0
        assert run_cli("migrate", data=data).returncode == 0
        connection = await asyncpg.connect(dsn)
        await connection.execute(block.replace("mission_control_app", ROLE) + DEFAULT_PRIVILEGES)
        # No default gives this right, and the backup does not have the table.
        await connection.execute(f"grant references on event_commits to {ROLE}")
        before = await connection.fetch(DEFAULT_PRIVILEGES_QUERY)
        await connection.close()
        result = run_cli("restore", str(file), "--yes", data=data)
        assert result.returncode == 0, result.stderr
        connection = await asyncpg.connect(dsn)
        after = await connection.fetch(DEFAULT_PRIVILEGES_QUERY)
        rights = dict(await connection.fetchrow(LATER_RIGHTS_QUERY))
        await connection.execute("create function later() returns int return 1")
        await connection.execute("create table later (id bigserial primary key)")
        await connection.execute(f"set role {ROLE}")
        await connection.execute("insert into later default values")
        await connection.fetch("select later()")
        await connection.close()
    assert after == before
    assert not rights.pop("change_audit")
    assert all(rights.values()), rights


def test_a_failed_backup_leaves_no_files(tmp_path: Path) -> None:
    result = run_cli("backup", str(tmp_path / "missing" / "file"), data=tmp_path / "data")
    assert result.returncode == 1
    assert "cannot be written" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dsn", "address"),
    [
        ("postgresql://me:a%26b@db:1/x?sslmode=require", "postgresql://me@db:1/x?sslmode=require"),
        ("postgresql://me@db/x?a=1&password=a%26b&b=2", "postgresql://me@db/x?a=1&b=2"),
    ],
)
def test_a_password_is_in_no_list_of_processes(dsn: str, address: str) -> None:
    assert split_password(dsn) == (address, "a&b")


FAILING_PG_RESTORE = """#!{python}
import asyncio, os, sys
import asyncpg
if "--list" in sys.argv:
    os.execv({program!r}, sys.argv)
async def end_other_connections():
    connection = await asyncpg.connect({dsn!r})
    await connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where pid <> pg_backend_pid() and backend_type = 'client backend'"
    )
    await connection.close()
asyncio.run(end_other_connections())
sys.exit("the disk is full")
"""


def test_a_restore_that_loses_its_connection_says_what_failed_first(
    saved_installation: SavedInstallation, tmp_path: Path
) -> None:
    bundled, file = find_bundled_programs(), str(saved_installation.file)
    programs = tmp_path / "programs"
    programs.mkdir()
    with run_postgres(tmp_path / "server") as dsn:
        scripts = {
            "pg_dump": f'#!/bin/sh\nexec {bundled}/pg_dump "$@"\n',
            "pg_restore": FAILING_PG_RESTORE.format(
                python=sys.executable, program=f"{bundled}/pg_restore", dsn=dsn
            ),
        }
        for name, text in scripts.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o700)
        settings = {"DATABASE_URL": dsn, "MC_PG_BIN": str(programs)}
        result = run_cli("restore", file, data=tmp_path / "data", **settings)
    assert result.stderr == "PostgreSQL's pg_restore has failed: the disk is full\n"
