"""Share an embedded PostgreSQL: it starts with its first process and stops with its last.

`EmbeddedPostgres` is used together with other processes; `PostgresServer` controls the server.
Every process holds a shared file lock while it runs. The kernel releases the lock of a killed
process, so there is no list of processes that could be outdated. There is no TCP port, only a
socket in a folder that no other account can enter.
"""

import asyncio
import fcntl
import hashlib
import logging
import os
import shutil
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from embedded_postgres.data_location import (
    DataLocation,
    PostgresStartError,
    find_data_location,
    find_programs,
)

USER = "mc"
PORT = 5432  # only part of the socket's file name
MAX_SOCKET_PATH = 100  # bytes; systems allow 103 to 107
SHORT_SOCKET_ROOT = Path("/tmp")  # noqa: S108 - for sockets whose path would be too long
CONFLICT_TIMEOUT = 20.0  # seconds of restarts while a previous server still shuts down
RETRY_TIMEOUT = 2.0  # seconds of restarts after any other error
MAX_RECOVERY_TIME = 600.0  # seconds for crash recovery
STOP_TIMEOUT = 2.0  # seconds; the server continues to shut down afterwards
WATCH_INTERVAL = 1.0  # seconds between two checks of the server
MAX_LOG_SIZE = 10_000_000  # bytes until the log is rotated; one old log is kept

TUNING: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "random_page_cost": "1.1",  # of solid state disks
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "log_min_duration_statement": "1000",
    "log_parameter_max_length": "0",  # user content must not be logged
    "log_timezone": "UTC",
    "timezone": "UTC",
}

# The shell prints PostgreSQL's process id and exits; PostgreSQL runs independently of this process.
LAUNCH = '"$@" </dev/null >>postgres.log 2>&1 & echo $!'

log = logging.getLogger("mission_control.postgres")


class EmbeddedPostgres:
    """Use an embedded PostgreSQL together with other processes."""

    def __init__(
        self,
        data_dir: Path,
        *,
        programs: Path | None = None,
        database: str = "mission_control",
        tuning: Mapping[str, str] | None = None,
    ) -> None:
        """Find or create the data folder; nothing is started.

        `programs` is a folder with initdb and postgres that replaces the bundled one; `tuning` has
        additional PostgreSQL settings. Raises PostgresStartError.
        """
        location = find_data_location(data_dir)
        self.note = location.note  # a sentence for operators if the data is in another folder
        self.home = location.home
        self.database = database
        self._server = PostgresServer(
            location, find_programs(location.account, programs), tuning or {}
        )
        self._shared_lock: int | None = None  # file descriptor of our shared lock
        self._stopping = threading.Event()

    @property
    def dsn(self) -> str:
        """The database URL for asyncpg."""
        folder = quote(str(self._server.socket), safe="")
        return f"postgresql://{USER}@/{self.database}?host={folder}&port={PORT}"

    def start(self) -> str:
        """Start the server unless it runs; return `dsn`. Raises PostgresStartError."""
        with self._exclusive_lock():
            self._shared_lock = _lock(self.home / "users.lock", fcntl.LOCK_SH)
            try:
                self._server.initialize(self.database)
                self._server.start(self._stopping.is_set)
            except BaseException:
                self._release_lock()
                raise
        return self.dsn

    def stop(self) -> bool:
        """Release the server and stop it if no other process uses it; return whether it stopped."""
        self._stopping.set()
        if self._shared_lock is None:
            self._stopping.clear()
            return False
        with self._exclusive_lock():
            last = self._is_last_user()
            self._release_lock()
            if last:
                self._server.stop()
        self._stopping.clear()
        return last

    def cancel_start(self) -> None:
        """Cancel a running `start`; `stop` must be called afterwards."""
        self._stopping.set()

    def accepts_connections(self) -> bool:
        """Return whether the server accepts connections."""
        return self._server.accepts_connections()

    def restart(self) -> None:
        """Start the server again if it has crashed. Raises PostgresStartError."""
        with self._exclusive_lock():
            self._server.start(self._stopping.is_set)

    async def watch(self) -> None:
        """Restart the server whenever it has crashed, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            await asyncio.to_thread(self.restart_if_crashed)

    def restart_if_crashed(self) -> None:
        """Start the server again if it has crashed; log a failure."""
        if self._stopping.is_set() or self.accepts_connections():
            return
        log.warning("PostgreSQL has crashed. Starting it again.")
        try:
            self.restart()
        except (PostgresStartError, OSError) as error:
            log.error("%s", error)
        else:
            log.warning("PostgreSQL is running again.")

    @contextmanager
    def _exclusive_lock(self) -> Generator[None, None, None]:
        """Prevent other processes from starting or stopping the server in the block."""
        lock = _lock(self.home / "start.lock", fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(lock)

    def _is_last_user(self) -> bool:
        assert self._shared_lock is not None
        try:
            fcntl.flock(self._shared_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _release_lock(self) -> None:
        if self._shared_lock is not None:
            os.close(self._shared_lock)
            self._shared_lock = None


def _lock(path: Path, kind: int) -> int:
    """Lock a file and return its descriptor; closing it releases the lock."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    owner = path.parent.stat()
    if os.geteuid() == 0:
        os.fchown(file, owner.st_uid, owner.st_gid)  # the owner may start again without being root
    fcntl.flock(file, kind)
    return file


class PostgresServer:
    """Control a PostgreSQL server whose files are in one data location."""

    def __init__(self, location: DataLocation, programs: Path, tuning: Mapping[str, str]) -> None:
        self.location = location
        self.data = location.home / "data"
        self.log = location.home / "postgres.log"
        self.socket = _socket_folder(location)
        self._programs = programs
        self._log_offset = 0  # size of the log in bytes before the last launch
        self._tuning = {**TUNING, "unix_socket_directories": str(self.socket), **tuning}

    def initialize(self, database: str) -> None:
        """Create the data folder with an empty database, unless it exists.

        It is created under another name and renamed at the end, so it is never incomplete.
        """
        if (self.data / "PG_VERSION").exists():
            return
        new = self.location.home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        options = [
            *self._locale_options(),
            *(["--no-sync"] if self._tuning.get("fsync") == "off" else []),
        ]
        self._run_program("initdb", "-D", new, "-U", USER, "-A", "trust", "-E", "UTF8", *options)
        create = f'create database "{database}"'
        self._run_program(
            "postgres", "--single", "-D", new, "-c", "shared_buffers=1MB", "postgres", say=create
        )
        new.rename(self.data)

    def accepts_connections(self) -> bool:
        """Return whether the server accepts connections."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket / f".s.PGSQL.{PORT}"))
            except OSError:
                return False
        return True

    def start(self, is_cancelled: Callable[[], bool]) -> None:
        """Launch the server, repeatedly if necessary, and wait until it is ready.

        Remaining processes of a killed server prevent a new start for one or two seconds.
        """
        launched = 0
        start = time.monotonic()
        while self._read_pid_file(7) != "ready" or not self.accepts_connections():
            if is_cancelled():
                raise PostgresStartError("The start of PostgreSQL was cancelled.")
            alive = _is_alive(launched) or self._is_process_running()
            fault = self._find_log_error() if launched else ""
            if time.monotonic() - start > _start_timeout(fault, alive):
                raise PostgresStartError(
                    f"PostgreSQL does not start: {fault or 'it is still not ready'} "
                    f"(its log is {self.log})."
                )
            if not alive:
                launched = self._launch()
            time.sleep(0.05 if alive else 0.2)

    def stop(self) -> None:
        """Stop the server; connections are closed, committed data is kept."""
        pid = self._pid()
        if not self._is_process_running():
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        end = time.monotonic() + STOP_TIMEOUT
        while _is_alive(pid) and time.monotonic() < end:
            time.sleep(0.02)

    def _run_program(self, program: str, *arguments: str | Path, say: str = "") -> None:
        done = self.location.account.run(
            self._programs / program, *arguments, cwd=self.location.home, stdin=None, input=say
        )
        if done.returncode != 0:
            last = (done.stderr.strip() or "it did not give a reason").splitlines()[-1]
            raise PostgresStartError(
                f"PostgreSQL's {program} failed in {self.location.home}: {last}"
            )

    def _locale_options(self) -> tuple[str, ...]:
        """Return locale options with the same sort order and case rules on every machine."""
        said = self.location.account.run(self._programs / "initdb", "--version").stdout
        major = next((word.partition(".")[0] for word in said.split() if word[0].isdigit()), "0")
        if int(major.rstrip("abcdefghijklmnopqrstuvwxyz")[:2]) >= 17:
            return ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
        return ("--locale=C.UTF-8",)

    def _launch(self) -> int:
        """Launch the server; return its process id. It may exit soon after."""
        if self._log_size() > MAX_LOG_SIZE:
            self.log.rename(self.log.with_suffix(".log.1"))
        self._log_offset = self._log_size()
        tuning = [
            word for name, value in self._tuning.items() for word in ("-c", f"{name}={value}")
        ]
        command = [self._programs / "postgres", "-D", self.data, *tuning]
        shell = self.location.account.run(
            "/bin/sh", "-c", LAUNCH, "sh", *command, cwd=self.location.home
        )
        return int(shell.stdout)

    def _pid(self) -> int:
        return int(self._read_pid_file(0) or 0)

    def _read_pid_file(self, line: int) -> str:
        """Read a line of postmaster.pid."""
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()[line].strip()
        except (OSError, IndexError):
            return ""

    def _is_process_running(self) -> bool:
        """Return whether a server runs on our data; remove outdated pid and lock files.

        Otherwise a zombie, or another process with the same id after a reboot, would prevent the
        start. PostgreSQL itself still detects processes of a killed server by its shared memory.
        """
        pid = self._pid()
        if _is_alive(pid) and self._uses_our_data(pid):
            return True
        for record in (self.data / "postmaster.pid", self.socket / f".s.PGSQL.{PORT}.lock"):
            record.unlink(missing_ok=True)
        return False

    def _uses_our_data(self, pid: int) -> bool:
        link = Path(f"/proc/{pid}/cwd")
        if not link.parent.exists():
            return True  # no /proc on this system: trust the pid file
        # Run as its own account: in some containers root has no access.
        found = self.location.account.run("/bin/ls", "-ld", link).stdout.strip()
        return found.endswith(f" -> {self.data}")

    def _find_log_error(self) -> str:
        """Return the reason of the last failed launch from the log, or an empty string."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_offset)
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        reasons = (line.partition("FATAL:")[2].strip() for line in reversed(lines))
        return next((reason for reason in reasons if reason), "")

    def _log_size(self) -> int:
        try:
            return self.log.stat().st_size
        except FileNotFoundError:
            return 0


def _start_timeout(fault: str, alive: bool) -> float:
    """Return the timeout in seconds for the server to become ready in its current state."""
    if alive:
        return MAX_RECOVERY_TIME
    is_in_the_way = not fault or "already exists" in fault or "in use" in fault
    return CONFLICT_TIMEOUT if is_in_the_way else RETRY_TIMEOUT


def _is_alive(pid: int) -> bool:
    """Return whether a process is alive; a zombie is not."""
    if pid <= 0:
        return False
    with suppress(ChildProcessError):
        os.waitpid(
            pid, os.WNOHANG
        )  # as process 1 of a container we are the parent of orphaned processes
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return not Path("/proc/self").exists()


def _socket_folder(location: DataLocation) -> Path:
    """Return the folder of the socket: home, or another folder if its path is too long."""
    if len(os.fsencode(location.home / f".s.PGSQL.{PORT}.lock")) <= MAX_SOCKET_PATH:
        return location.home
    name = hashlib.sha256(os.fsencode(location.home)).hexdigest()[:16]
    folder = SHORT_SOCKET_ROOT / f"mission-control-{location.account.uid}-{name}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        os.chown(folder, location.account.uid, location.account.gid)
    found = folder.lstat()
    if found.st_uid != location.account.uid or stat.S_IMODE(found.st_mode) != 0o700:
        raise PostgresStartError(
            f"{folder} belongs to another user: remove it, or give another --data."
        )
    return folder
