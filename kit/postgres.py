"""An embedded PostgreSQL that processes share: it starts with the first and ends with the last.

Every process that uses it holds a shared lock for its life. The kernel drops the lock of a process
that is killed, so no list of users can go out of date. There is no TCP port: only a socket in a
folder that nobody else may enter.
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

from kit.postgres_place import CannotStart, find_place, find_programs
from kit.postgres_server import PORT, USER, Server

LOOK_EVERY = 1.0  # seconds between two looks whether the server lives

log = logging.getLogger("mission_control.postgres")

__all__ = ["CannotStart", "EmbeddedPostgres"]


class EmbeddedPostgres:
    """An embedded PostgreSQL, as this process uses it."""

    def __init__(
        self,
        data_dir: Path,
        *,
        programs: Path | None = None,
        database: str = "mission_control",
        tuning: Mapping[str, str] | None = None,
    ) -> None:
        """Find the place of the database, or make its folder; nothing is started.

        `programs` is a folder with initdb and postgres, instead of our own; `tuning` are more of
        PostgreSQL's settings. Raises CannotStart.
        """
        place = find_place(data_dir)
        self.note = place.note  # a sentence for people, when the data is where they wouldn't look
        self.home = place.home
        self.database = database
        self._server = Server(place, find_programs(place.account, programs), tuning or {})
        self._share: int | None = None  # the open file with our shared lock
        self._leaving = threading.Event()

    @property
    def dsn(self) -> str:
        """The address of the database, as asyncpg takes it."""
        folder = quote(str(self._server.socket), safe="")
        return f"postgresql://{USER}@/{self.database}?host={folder}&port={PORT}"

    def start(self) -> str:
        """Start the server if nobody has yet, and hold it. Returns `dsn`. Raises CannotStart."""
        with self._alone():
            self._share = _lock(self.home / "users.lock", fcntl.LOCK_SH)
            try:
                self._server.make(self.database)
                self._server.bring_up(self._leaving.is_set)
            except BaseException:
                self._let_go()
                raise
        return self.dsn

    def stop(self) -> bool:
        """Let go of the server, and stop it if nobody else holds it. Says whether it was."""
        self._leaving.set()
        if self._share is None:
            self._leaving.clear()
            return False
        with self._alone():
            last = self._is_last()
            self._let_go()
            if last:
                self._server.shut_down()
        self._leaving.clear()
        return last

    def give_up(self) -> None:
        """Let whoever waits for the server wait no longer. `stop` has to follow."""
        self._leaving.set()

    def answers(self) -> bool:
        """Say whether the server takes connections."""
        return self._server.answers()

    def revive(self) -> None:
        """Start the server again if it has died. Raises CannotStart."""
        with self._alone():
            self._server.bring_up(self._leaving.is_set)

    async def watch(self) -> None:
        """Bring the server back whenever it has died, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self._leaving.is_set() or await asyncio.to_thread(self.answers):
                continue
            log.warning("PostgreSQL has died. Starting it again.")
            try:
                await asyncio.to_thread(self.revive)
            except (CannotStart, OSError) as error:
                log.error("%s", error)
            else:
                log.warning("PostgreSQL is back.")

    @contextmanager
    def _alone(self) -> Generator[None, None, None]:
        """Keep others from starting or stopping the server meanwhile."""
        lock = _lock(self.home / "start.lock", fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(lock)

    def _is_last(self) -> bool:
        assert self._share is not None
        try:
            fcntl.flock(self._share, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _let_go(self) -> None:
        if self._share is not None:
            os.close(self._share)
            self._share = None


def _lock(path: Path, kind: int) -> int:
    """Lock a file, and return it open. Closing it gives up the lock."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    owner = path.parent.stat()
    if os.geteuid() == 0:
        os.fchown(file, owner.st_uid, owner.st_gid)  # who may come back without being root
    fcntl.flock(file, kind)
    return file
