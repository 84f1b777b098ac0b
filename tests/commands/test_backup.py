"""./run backup and ./run restore: all data in a file, and back, or nothing at all."""

import stat
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from kit.postgres import EmbeddedPostgres
from tests.commands.conftest import become_owner, command, installed
from tests.installation import LOCAL_TOKEN, Api, Installation


@dataclass(frozen=True)
class Saved:
    """An installation that has ended: its backup has one board, and it has got another since."""

    data: Path
    file: Path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = tmp_path_factory.mktemp("saved")
    with installed(folder) as installation:
        become_owner(installation).close()
        add_board(installation, "Kept")
        file = folder / "of today.dump"
        made = command("backup", str(file), data=installation.data)
        assert made.returncode == 0, made.stderr
        add_board(installation, "Later")
    return Saved(installation.data, file)


def add_board(installation: Installation, name: str) -> None:
    api = Api(installation.url, LOCAL_TOKEN)
    with closing(api.client):
        api.call("POST", "/auth/bootstrap")
        api.board(name)


@contextmanager
def started(data: Path) -> Generator[str, None, None]:
    """Have a database run without its Mission Control."""
    postgres = EmbeddedPostgres(data)
    yield postgres.start()
    postgres.stop()


async def boards(data: Path) -> set[str]:
    with started(data) as dsn:
        connection = await asyncpg.connect(dsn)
        found = await connection.fetch("select name from boards")
        await connection.close()
    return {row["name"] for row in found}


def test_a_backup_is_for_nobody_else_to_read(saved: Saved) -> None:
    assert stat.S_IMODE(saved.file.stat().st_mode) == 0o600


async def test_a_backup_fills_an_installation_that_is_empty(saved: Saved, tmp_path: Path) -> None:
    restored = command("restore", str(saved.file), data=tmp_path / "data")
    assert restored.returncode == 0, restored.stderr
    assert await boards(tmp_path / "data") == {"Kept"}
    with installed(tmp_path) as installation:
        assert not installation.link  # the owner is there as well


async def test_nothing_is_replaced_unless_somebody_says_so(saved: Saved) -> None:
    before = await boards(saved.data)
    refused = command("restore", str(saved.file), data=saved.data)
    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert await boards(saved.data) == before


async def test_nothing_is_replaced_while_it_is_in_use(saved: Saved) -> None:
    before = await boards(saved.data)
    with started(saved.data) as dsn:
        somebody = await asyncpg.connect(dsn)
        refused = command("restore", str(saved.file), "--yes", data=saved.data)
        await somebody.close()
    assert refused.returncode == 1
    assert "stop Mission Control first" in refused.stderr
    assert await boards(saved.data) == before


@pytest.mark.parametrize("kind", ["cut", "text", "of something else", "missing"])
async def test_a_file_that_is_no_backup_of_ours_changes_nothing(
    saved: Saved, tmp_path: Path, kind: str
) -> None:
    before = await boards(saved.data)
    broken = tmp_path / "broken.dump"
    if kind == "cut":
        broken.write_bytes(saved.file.read_bytes()[: saved.file.stat().st_size // 2])
    elif kind == "text":
        broken.write_text("no backup")
    elif kind == "of something else":
        made = command("backup", str(broken), data=tmp_path / "empty")
        assert made.returncode == 0, made.stderr
    refused = command("restore", str(broken), "--yes", data=saved.data)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert await boards(saved.data) == before


async def test_all_data_comes_back(saved: Saved, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert command("restore", str(saved.file), data=data).returncode == 0
    with started(data) as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.execute("update boards set name = 'Changed'")
        await connection.close()
    restored = command("restore", str(saved.file), "--yes", data=data)
    assert restored.returncode == 0, restored.stderr
    assert await boards(data) == {"Kept"}


def test_a_backup_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    refused = command("backup", str(tmp_path / "missing" / "file"), data=tmp_path / "data")
    assert refused.returncode == 1
    assert "cannot be written" in refused.stderr
    assert list(tmp_path.iterdir()) == []
