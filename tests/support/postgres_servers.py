"""PostgreSQL servers of a test that are reached over TCP, and PgBouncer in front of one."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from embedded_postgres.data_location import SystemAccount
from embedded_postgres.instance import PORT, EmbeddedPostgres
from tests.support.initial_database import INITIAL_DATABASE
from tests.support.installation import find_free_port

TIMEOUT = 60  # seconds

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
        self, folder: Path, *addresses: str, programs: Path | None = None, **tuning: str
    ) -> None:
        self.folder, self.addresses = folder, addresses
        tuning = {"listen_addresses": ",".join(addresses), "fsync": "off", **tuning}
        super().__init__(folder, tuning=tuning, programs=programs)

    @property
    def url(self) -> str:
        """The address of its database."""
        return f"postgresql://mc@{self.addresses[0]}:{PORT}/{self.database}"

    def copy_into(self, folder: Path) -> None:
        """Copy the files of the server, which must not run, into the folder of another one."""
        files = EmbeddedPostgres(folder).home / "data"
        subprocess.run(["cp", "-a", self.home / "data", files], check=True)

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
    **tuning: str,
) -> Generator[TcpPostgres]:
    """Run a server with an empty installation during the block, or with an empty database."""
    if is_migrated:
        INITIAL_DATABASE.copy_into(folder)
    postgres = TcpPostgres(folder, *(addresses or (find_loopback_address(),)), **tuning)
    postgres.start()
    try:
        yield postgres
    finally:
        postgres.stop()


@contextmanager
def run_tls_postgres(folder: Path, certificate: Path, *addresses: str) -> Generator[TcpPostgres]:
    """Run a server of the system's packages with a certificate, and an empty database."""
    assert SYSTEM_PROGRAMS is not None
    own = EmbeddedPostgres(folder).home / "server.pem"
    postgres = TcpPostgres(
        folder,
        *addresses,
        programs=SYSTEM_PROGRAMS.parent,
        ssl="on",
        ssl_cert_file=str(own),
        ssl_key_file=str(own),
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
