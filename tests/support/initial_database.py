"""A migrated database without content, whose files are copied into new installations."""

import asyncio
import fcntl
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cli.migrate import migrate_database
from core.config.settings import Settings
from embedded_postgres.data_location import root_data_folder
from embedded_postgres.instance import EmbeddedPostgres

STOP_TIMEOUT = 60  # seconds


class InitialDatabase:
    """The files of the database; the processes of a run of the tests create them once."""

    def __init__(self) -> None:
        self.folder: Path | None = None  # of the files; without it, this process has its own

    def copy_into(self, data_dir: Path) -> None:
        """Copy it into a data folder without database: to create one takes 15 times as long."""
        files = EmbeddedPostgres(data_dir).home / "data"
        if not files.exists():
            _copy(self._create(), files)

    def _create(self) -> Path:
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="initial-", dir=root_data_folder()))
        files = self.folder / "data"
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not files.exists():
                _create_database(files)
        return files


INITIAL_DATABASE = InitialDatabase()


def _create_database(files: Path) -> None:
    """Start PostgreSQL on an empty folder, migrate its database, and copy its files."""
    with tempfile.TemporaryDirectory(prefix="initial-", dir=root_data_folder()) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL runs with another account if this is root
        postgres = EmbeddedPostgres(Path(folder), tuning={"fsync": "off"})
        settings = Settings(database_url=postgres.start())
        with ThreadPoolExecutor() as executor:  # this one may run an event loop
            executor.submit(asyncio.run, migrate_database(settings)).result()
        postgres.stop()
        end = time.monotonic() + STOP_TIMEOUT
        while (postgres.home / "data/postmaster.pid").exists():  # it still writes its files
            assert time.monotonic() < end
            time.sleep(0.02)
        new = files.with_name("new")
        _copy(postgres.home / "data", new)
    new.rename(files)


def _copy(folder: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", folder, target], check=True)
