"""How PostgreSQL's own programs are called that write and read backups."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg

from bin.command import CannotGoOn
from kit.postgres_place import CannotStart, our_programs
from kit.settings import Settings

SCRIPTS_CHANGED = 17  # its programs write a setting that older servers do not know
MAINTENANCE = ("postgres", "template1")  # databases that every server has


class Programs:
    """pg_dump and pg_restore, in the version that fits a server."""

    def __init__(self, folder: Path, major: int) -> None:
        self.folder = folder
        self.major = major

    @classmethod
    def fitting(cls, settings: Settings, server: int) -> "Programs":
        """Find programs of the server's own major version, or else newer ones."""
        found = [cls(folder, major) for folder, major in _installed(settings, server)]
        able = [programs for programs in found if programs.major >= server]
        if not able:
            raise CannotGoOn(
                f"Backups of PostgreSQL {server} need its programs pg_dump and pg_restore: "
                "install them, and set MC_PG_BIN to their folder."
            )
        return min(able, key=lambda programs: programs.major)

    def call(self, name: str, *arguments: str, dsn: str = "") -> str:
        """Call a program and return what it says. Raises CannotGoOn when it fails."""
        words = {key: text for key, text in os.environ.items() if not key.startswith("PG")}
        if dsn:
            address, password = without_password(dsn)
            arguments = (f"--dbname={address}", *arguments)
            words |= {"PGPASSWORD": password} if password else {}
        done = subprocess.run(  # noqa: S603
            [self.folder / name, *arguments], capture_output=True, text=True, env=words
        )
        if done.returncode != 0:
            last = (done.stderr.strip() or "it did not say why").splitlines()[-1]
            raise CannotGoOn(f"PostgreSQL's {name} has failed: {last}")
        return done.stdout


def without_password(dsn: str) -> tuple[str, str]:
    """Part an address from its password, which nobody is to see in the list of processes."""
    parts = urlsplit(dsn)
    user = f"{parts.username}@" if parts.username else ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}{host}")), unquote(parts.password or "")


def database_of(dsn: str) -> str:
    """Return the name of the database in an address."""
    return unquote(urlsplit(dsn).path.strip("/"))


def with_database(dsn: str, name: str) -> str:
    """Return the same address for another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def server_of(dsn: str) -> int:
    """Return the major version of a server."""
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("show server_version_num")) // 10_000
    finally:
        await connection.close()


def _installed(settings: Settings, server: int) -> Iterator[tuple[Path, int]]:
    """Give the folders with programs on this machine, and their major versions."""
    folders = [settings.mc_pg_bin, Path(f"/usr/lib/postgresql/{server}/bin")]
    on_path = shutil.which("pg_dump")
    folders.append(Path(on_path).parent if on_path else None)
    with suppress(CannotStart):
        folders.append(our_programs())
    for folder in filter(None, folders):
        try:
            said = subprocess.run(  # noqa: S603
                [folder / "pg_dump", "--version"], capture_output=True, text=True
            ).stdout
        except OSError:
            continue
        if version := re.search(r"\d+", said):
            yield folder, int(version[0])
