"""./run backup and ./run restore: all data or no change."""

import shutil
import stat
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from cli.postgres_programs import split_password
from core.security.encryption import KEY_FILE
from embedded_postgres.instance import EmbeddedPostgres
from tests.cli.conftest import run_cli, sign_up_owner, start_installation
from tests.support.installation import LOCAL_TOKEN, ApiClient, Installation


@dataclass(frozen=True)
class SavedInstallation:
    """A stopped installation with two boards, and a backup with only the first one."""

    data: Path
    file: Path


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
    return SavedInstallation(installation.data_dir, file)


def add_board(installation: Installation, name: str) -> None:
    api = ApiClient(installation.url, LOCAL_TOKEN)
    with closing(api.client):
        api.call("POST", "/auth/bootstrap")
        api.create_board(name)


@contextmanager
def run_postgres(data: Path) -> Generator[str, None, None]:
    """Run the database of an installation without the server; yield its DSN."""
    postgres = EmbeddedPostgres(data)
    yield postgres.start()
    postgres.stop()


async def list_board_names(data: Path) -> set[str]:
    with run_postgres(data) as dsn:
        connection = await asyncpg.connect(dsn)
        rows = await connection.fetch("select name from boards")
        await connection.close()
    return {row["name"] for row in rows}


def test_a_backup_is_readable_only_by_its_owner(saved_installation: SavedInstallation) -> None:
    assert stat.S_IMODE(saved_installation.file.stat().st_mode) == 0o600


async def test_a_backup_can_be_restored_into_an_empty_installation(
    saved_installation: SavedInstallation, tmp_path: Path
) -> None:
    result = run_cli("restore", str(saved_installation.file), data=tmp_path / "data")
    assert result.returncode == 0, result.stderr
    assert "is not the key of this database" in result.stdout
    shutil.copy(saved_installation.data / KEY_FILE, tmp_path / "data")
    assert await list_board_names(tmp_path / "data") == {"Kept"}
    with start_installation(tmp_path) as installation:
        assert not installation.link  # the owner was restored as well


async def test_data_is_not_replaced_without_confirmation(
    saved_installation: SavedInstallation,
) -> None:
    before = await list_board_names(saved_installation.data)
    result = run_cli("restore", str(saved_installation.file), data=saved_installation.data)
    assert result.returncode == 1
    assert "--yes" in result.stderr
    assert await list_board_names(saved_installation.data) == before


async def test_data_is_not_replaced_while_it_is_in_use(
    saved_installation: SavedInstallation,
) -> None:
    before = await list_board_names(saved_installation.data)
    with run_postgres(saved_installation.data) as dsn:
        other_connection = await asyncpg.connect(dsn)
        result = run_cli(
            "restore", str(saved_installation.file), "--yes", data=saved_installation.data
        )
        await other_connection.close()
    assert result.returncode == 1
    assert "stop Mission Control first" in result.stderr
    assert await list_board_names(saved_installation.data) == before


async def test_an_invalid_backup_file_changes_nothing(
    saved_installation: SavedInstallation, tmp_path: Path
) -> None:
    before = await list_board_names(saved_installation.data)
    content = saved_installation.file.read_bytes()
    (tmp_path / "cut").write_bytes(content[: len(content) // 2])
    (tmp_path / "text").write_text("no backup")
    other = run_cli("backup", str(tmp_path / "of something else"), data=tmp_path / "empty")
    assert other.returncode == 0, other.stderr
    for name in ("cut", "text", "of something else", "missing"):
        result = run_cli("restore", str(tmp_path / name), "--yes", data=saved_installation.data)
        assert result.returncode == 1, name
        assert result.stderr.count("\n") == 1, (name, result.stderr)
    assert await list_board_names(saved_installation.data) == before


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
    assert await list_board_names(data) == {"Kept"}
    with run_postgres(data) as dsn:
        connection = await asyncpg.connect(dsn)
        rights = dict(await connection.fetchrow(RIGHTS_QUERY))
        await connection.close()
    assert rights == {"insert": True, "delete": False, "execute": True, "is_public": False}


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
