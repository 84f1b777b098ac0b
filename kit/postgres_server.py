"""One PostgreSQL server in one place: made, launched, waited for, stopped.

It knows nothing of who else uses the server: see kit/postgres.py.
"""

import hashlib
import os
import shutil
import signal
import socket
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from kit.postgres_place import CannotStart, Place

USER = "mc"
PORT = 5432  # only a part of the socket's name
LONGEST_SOCKET = 100  # bytes; systems allow 103 to 107
SHORT_FOLDERS = Path("/tmp")  # noqa: S108 - for sockets that would have too long a name
PATIENCE = 20.0  # seconds in which a server is launched again while an older one is in its way
SECOND_TRY = 2.0  # seconds in which it is launched again for any other reason
MOST_RECOVERY = 600.0  # seconds that a server may take to recover from a crash
GRACE = 2.0  # seconds that we wait for a server to stop; it goes on stopping without us
LARGEST_LOG = 10_000_000  # bytes after which the log starts anew, with one old one kept

TUNING: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "log_min_duration_statement": "1000",
    "log_parameter_max_length": "0",  # what people wrote is not for the log
    "log_timezone": "UTC",
    "timezone": "UTC",
}

# The shell tells PostgreSQL's number and ends; PostgreSQL stays, and outlives us if it has to.
LAUNCH = '"$@" </dev/null >>postgres.log 2>&1 & echo $!'


class Server:
    """A PostgreSQL server with all its files in one place."""

    def __init__(self, place: Place, programs: Path, tuning: Mapping[str, str]) -> None:
        self.place = place
        self.data = place.home / "data"
        self.log = place.home / "postgres.log"
        self.socket = _socket_folder(place)
        self._programs = programs
        self._log_seen = 0  # bytes of the log that were there before the last launch
        self._tuning = {**TUNING, "unix_socket_directories": str(self.socket), **tuning}

    def make(self, database: str) -> None:
        """Make the data, with an empty database in it, unless it is there.

        Everything is made aside and renamed at the end: there never is half of it.
        """
        if (self.data / "PG_VERSION").exists():
            return
        new = self.place.home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        options = [*self._locale(), *(["--no-sync"] if self._tuning.get("fsync") == "off" else [])]
        self._do("initdb", "-D", new, "-U", USER, "-A", "trust", "-E", "UTF8", *options)
        create = f'create database "{database}"'
        self._do(
            "postgres", "--single", "-D", new, "-c", "shared_buffers=1MB", "postgres", say=create
        )
        new.rename(self.data)

    def answers(self) -> bool:
        """Say whether the server takes connections."""
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.settimeout(1)
            try:
                visitor.connect(str(self.socket / f".s.PGSQL.{PORT}"))
            except OSError:
                return False
        return True

    def bring_up(self, given_up: Callable[[], bool]) -> None:
        """Wait until the server is ready, and launch it as often as that takes.

        The processes that a killed server leaves behind keep the next one out for a second or two.
        """
        launched = 0
        start = time.monotonic()
        while not self._is_ready():
            if given_up():
                raise CannotStart("PostgreSQL was not waited for.")
            alive = _lives(launched) or self._is_coming_or_going()
            fault = self._fault() if launched else ""
            if time.monotonic() - start > _patience(fault, alive):
                raise CannotStart(
                    f"PostgreSQL does not start: {fault or 'it is still not ready'} "
                    f"(its log is {self.log})."
                )
            if not alive:
                launched = self._launch()
            time.sleep(0.05 if alive else 0.2)

    def shut_down(self) -> None:
        """Stop the server. Whoever is connected is cut off, and loses nothing committed."""
        pid = self._pid()
        if not self._is_coming_or_going():
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        end = time.monotonic() + GRACE
        while _lives(pid) and time.monotonic() < end:
            time.sleep(0.02)

    def _do(self, program: str, *arguments: str | Path, say: str = "") -> None:
        done = self.place.account.run(
            self._programs / program, *arguments, cwd=self.place.home, stdin=None, input=say
        )
        if done.returncode != 0:
            last = (done.stderr.strip() or "it did not say why").splitlines()[-1]
            raise CannotStart(f"PostgreSQL's {program} failed in {self.place.home}: {last}")

    def _locale(self) -> tuple[str, ...]:
        """Return the choice of language: the same order and cases on every machine."""
        said = self.place.account.run(self._programs / "initdb", "--version").stdout
        major = next((word.partition(".")[0] for word in said.split() if word[0].isdigit()), "0")
        if int(major.rstrip("abcdefghijklmnopqrstuvwxyz")[:2]) >= 17:
            return ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
        return ("--locale=C.UTF-8",)

    def _launch(self) -> int:
        """Launch the server. Returns its process id; it may not live for long."""
        if self._log_size() > LARGEST_LOG:
            self.log.rename(self.log.with_suffix(".log.1"))
        self._log_seen = self._log_size()
        tuning = [
            word for name, value in self._tuning.items() for word in ("-c", f"{name}={value}")
        ]
        command = [self._programs / "postgres", "-D", self.data, *tuning]
        shell = self.place.account.run("/bin/sh", "-c", LAUNCH, "sh", *command, cwd=self.place.home)
        return int(shell.stdout)

    def _is_ready(self) -> bool:
        """Say whether the server has said that it is ready, and lives."""
        return self._record(7) == "ready" and self.answers()

    def _pid(self) -> int:
        return int(self._record(0) or 0)

    def _record(self, line: int) -> str:
        """Read a line of the file in which a running server says what it is."""
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()[line].strip()
        except (OSError, IndexError):
            return ""

    def _is_coming_or_going(self) -> bool:
        """Say whether a server works in our data. If its records are out of date, remove them.

        Else a dead process that nobody buries, or another with the same number after a restart of
        the machine, would keep the next server out. PostgreSQL still sees by itself whether
        processes of a killed server use its shared memory.
        """
        pid = self._pid()
        if _lives(pid) and self._works_in_data(pid):
            return True
        for record in (self.data / "postmaster.pid", self.socket / f".s.PGSQL.{PORT}.lock"):
            record.unlink(missing_ok=True)
        return False

    def _works_in_data(self, pid: int) -> bool:
        link = Path(f"/proc/{pid}/cwd")
        if not link.parent.exists():
            return True  # no /proc on this system: believe the record
        # As its own account: root may not look in some containers.
        found = self.place.account.run("/bin/ls", "-ld", link).stdout.strip()
        return found.endswith(f" -> {self.data}")

    def _fault(self) -> str:
        """Return why the last launch has failed, as far as the log tells."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_seen)
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return next((_after_fatal(line) for line in reversed(lines) if "FATAL:" in line), "")

    def _log_size(self) -> int:
        try:
            return self.log.stat().st_size
        except FileNotFoundError:
            return 0


def _patience(fault: str, alive: bool) -> float:
    """Return how many seconds it may take until the server is ready, as things stand."""
    if alive:
        return MOST_RECOVERY
    is_in_the_way = not fault or "already exists" in fault or "in use" in fault
    return PATIENCE if is_in_the_way else SECOND_TRY


def _after_fatal(line: str) -> str:
    return line.partition("FATAL:")[2].strip()


def _lives(pid: int) -> bool:
    """Say whether a process lives. One that is dead but not yet buried does not."""
    if pid <= 0:
        return False
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # as process 1 of a container we are everybody's parent
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


def _socket_folder(place: Place) -> Path:
    """Return the folder of the socket: home, or another if home has too long a name."""
    if len(os.fsencode(place.home / f".s.PGSQL.{PORT}.lock")) <= LONGEST_SOCKET:
        return place.home
    name = hashlib.sha256(os.fsencode(place.home)).hexdigest()[:16]
    folder = SHORT_FOLDERS / f"mission-control-{place.account.uid}-{name}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        os.chown(folder, place.account.uid, place.account.gid)
    found = folder.lstat()
    if found.st_uid != place.account.uid or stat.S_IMODE(found.st_mode) != 0o700:
        raise CannotStart(f"{folder} is somebody else's: remove it, or give another --data.")
    return folder
