"""Share an embedded PostgreSQL: it starts with its first process and stops with its last.

Every process holds a shared file lock while it runs. The kernel releases the lock of a killed
process, so there is no list of processes that could be outdated. There is no TCP port, only a
socket in a folder that no other account can enter.
"""

import asyncio
import fcntl
import logging
import os
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from embedded_postgres.data_location import PostgresStartError, find_data_location, find_programs
from embedded_postgres.server import PORT, USER, PostgresServer

WATCH_INTERVAL = 1.0  # seconds between two checks of the server

log = logging.getLogger("mission_control.postgres")

__all__ = ["EmbeddedPostgres", "PostgresStartError"]


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
            if self._stopping.is_set() or await asyncio.to_thread(self.accepts_connections):
                continue
            log.warning("PostgreSQL has crashed. Starting it again.")
            try:
                await asyncio.to_thread(self.restart)
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
