"""PostgreSQL servers of a test that are reached over TCP, and PgBouncer in front of one."""

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from embedded_postgres.data_location import SystemAccount, find_programs
from embedded_postgres.instance import PORT, EmbeddedPostgres
from tests.support.initial_database import INITIAL_DATABASE
from tests.support.installation import find_free_port

TIMEOUT = 60  # seconds

REPLICATION = {"wal_level": "replica", "max_wal_senders": "4"}
SYSTEM_PROGRAMS = max(
    Path("/usr/lib/postgresql").glob("*/bin/postgres"),
    key=lambda program: int(program.parts[-3]),
    default=None,
)
"""The server of the system's packages. The bundled programs are built without TLS."""

needs_system_postgres = pytest.mark.skipif(
    SYSTEM_PROGRAMS is None, reason="PostgreSQL is not installed from packages of the system"
)
needs_pgbouncer = pytest.mark.skipif(
    shutil.which("pgbouncer") is None, reason="PgBouncer is not installed"
)


def find_loopback_address() -> str:
    """Return an address of this machine at which nobody listens on the port of PostgreSQL."""
    while True:
        address = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(254)}"
        with socket.socket() as sock:
            try:
                sock.bind((address, PORT))
            except OSError:
                continue
            return address


class TcpPostgres(EmbeddedPostgres):
    """A server with addresses of its own, and the usual content of an installation."""

    def __init__(
        self,
        folder: Path,
        *addresses: str,
        programs: Path | None = None,
        tuning: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.addresses = folder, addresses
        listening = {"listen_addresses": ",".join(addresses), "fsync": "off"}
        super().__init__(folder, tuning={**listening, **(tuning or {})}, programs=programs)

    @property
    def url(self) -> str:
        """The address of its database."""
        return f"postgresql://mc@{self.addresses[0]}:{PORT}/{self.database}"

    def kill(self) -> None:
        """Kill all processes of the server with SIGKILL, as if its machine had lost power."""
        postmaster = int((self.home / "data/postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def run_postgres(
    folder: Path,
    *addresses: str,
    is_migrated: bool = True,
    tuning: Mapping[str, str] | None = None,
) -> Generator[TcpPostgres]:
    """Run a server with an empty installation during the block, or with an empty database."""
    if is_migrated:
        INITIAL_DATABASE.copy_into(folder)
    postgres = TcpPostgres(folder, *(addresses or (find_loopback_address(),)), tuning=tuning)
    postgres.start()
    try:
        yield postgres
    finally:
        postgres.stop()


class Standby:
    """A standby whose commits the primary waits for, so that no confirmed change is lost."""

    def __init__(self, folder: Path, primary: TcpPostgres) -> None:
        """Copy the files of the primary, which has been stopped."""
        end = time.monotonic() + TIMEOUT
        while (primary.home / "data/postmaster.pid").exists():  # it still writes its files
            assert time.monotonic() < end
            time.sleep(0.02)
        self.postgres = TcpPostgres(folder, find_loopback_address())
        self._data = self.postgres.home / "data"
        subprocess.run(["cp", "-a", primary.home / "data", self._data], check=True)
        self._account = SystemAccount.from_uid(self._data.stat().st_uid)
        self._programs = find_programs(self._account, None)
        self._conninfo = f"host={primary.addresses[0]} port={PORT} user=mc"

    def start(self) -> None:
        (self._data / "standby.signal").touch()
        settings = {
            "listen_addresses": self.postgres.addresses[0],
            "unix_socket_directories": self.postgres.home,
            "primary_conninfo": self._conninfo,
            "fsync": "off",
        }
        words = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._control("start", "-o", words, "-l", str(self.postgres.home / "postgres.log"))

    def promote(self) -> None:
        """Make it the primary, and wait until it is."""
        self._control("promote")

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")

    def _control(self, *words: str) -> None:
        called = self._account.run(self._programs / "pg_ctl", "-D", self._data, "-w", *words)
        assert called.returncode == 0, called.stdout + called.stderr


@contextmanager
def run_lone_standby(folder: Path) -> Generator[Standby]:
    """Run a standby with an installation during the block, whose primary does not run."""
    with run_postgres(folder / "primary", tuning=REPLICATION) as primary:
        pass  # its files now have what a standby needs
    standby = Standby(folder / "standby", primary)
    standby.start()
    try:
        yield standby
    finally:
        standby.stop()


@contextmanager
def run_primary_and_standby(folder: Path) -> Generator[tuple[TcpPostgres, Standby]]:
    """Run a primary with an installation and its synchronous standby during the block."""
    with run_postgres(folder / "primary", tuning=REPLICATION) as primary:
        address = primary.addresses[0]  # the files now have what a standby needs
    standby = Standby(folder / "standby", primary)
    with run_postgres(folder / "primary", address, tuning=REPLICATION) as primary:
        standby.start()
        try:
            asyncio.run(_wait_for_standby(primary.dsn))
            yield primary, standby
        finally:
            standby.stop()


async def _wait_for_standby(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("alter system set synchronous_standby_names = '*'")
    await connection.execute("select pg_reload_conf()")
    query = "select exists (select from pg_stat_replication where sync_state = 'sync')"
    async with asyncio.timeout(TIMEOUT):
        while not await connection.fetchval(query):
            await asyncio.sleep(0.05)
    await connection.close()


@contextmanager
def run_tls_postgres(folder: Path, certificate: Path, *addresses: str) -> Generator[TcpPostgres]:
    """Run a server of the system's packages with a certificate, and an empty database."""
    assert SYSTEM_PROGRAMS is not None
    own = EmbeddedPostgres(folder).home / "server.pem"
    postgres = TcpPostgres(
        folder,
        *addresses,
        programs=SYSTEM_PROGRAMS.parent,
        tuning={"ssl": "on", "ssl_cert_file": str(own), "ssl_key_file": str(own)},
    )
    shutil.copy(certificate, own)
    own.chmod(0o600)
    owner = own.parent.stat()
    os.chown(own, owner.st_uid, owner.st_gid)
    postgres.start()
    try:
        yield postgres
    finally:
        postgres.stop()


@contextmanager
def run_pgbouncer(
    postgres: EmbeddedPostgres, *, mode: str = "transaction", **options: object
) -> Generator[str]:
    """Run PgBouncer in front of a server during the block; yield the address of the database."""
    port = find_free_port()
    file = postgres.home / f"pgbouncer-{port}.ini"
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": mode,
        **options,
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    server = f"* = host={postgres.home} port={PORT} user=mc"
    file.write_text("\n".join(["[databases]", server, "[pgbouncer]", *lines, ""]))
    owner = SystemAccount.from_uid(postgres.home.stat().st_uid)
    os.chown(file, owner.uid, owner.gid)
    program = shutil.which("pgbouncer")
    assert program is not None
    user, group = (owner.uid, owner.gid) if os.geteuid() == 0 else (None, None)
    with (postgres.home / "pgbouncer.log").open("w") as log:
        process = subprocess.Popen([program, file], stdout=log, stderr=log, user=user, group=group)
    try:
        _wait_until_open(port, process)
        yield f"postgresql://mc@127.0.0.1:{port}/{postgres.database}"
    finally:
        process.kill()
        process.wait(TIMEOUT)


def _wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + TIMEOUT
    while True:
        assert process.poll() is None, "PgBouncer has ended"
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < end
        time.sleep(0.02)
