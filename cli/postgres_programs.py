"""Find and call PostgreSQL's programs for backups: pg_dump and pg_restore."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from cli.command import CommandError
from core.config.settings import Settings
from core.db.engine import connect_directly
from embedded_postgres.data_location import PostgresStartError, find_bundled_programs

FIRST_INCOMPATIBLE_MAJOR = 17  # its programs use a setting that older servers reject
MAINTENANCE_DATABASES = ("postgres", "template1")  # exist on every server


class PostgresPrograms:
    """The programs of one PostgreSQL version in one folder."""

    def __init__(self, folder: Path, major: int) -> None:
        self.folder = folder
        self.major = major

    @classmethod
    def for_server(cls, settings: Settings, server_major: int) -> "PostgresPrograms":
        """Find programs of the server's major version, or else of the next newer version.

        Raise CommandError if there are none.
        """
        installed = [
            cls(folder, major) for folder, major in _find_installed_programs(settings, server_major)
        ]
        compatible = [programs for programs in installed if programs.major >= server_major]
        if not compatible:
            over_tls = " over TLS" if _requires_tls(settings.direct_dsn) else ""
            raise CommandError(
                f"Backups of PostgreSQL {server_major}{over_tls} need its programs pg_dump and"
                f" pg_restore: install them (postgresql-client-{server_major}), and set MC_PG_BIN"
                " to their folder."
            )
        return min(compatible, key=lambda programs: programs.major)

    def run_program(self, name: str, *arguments: str, dsn: str = "") -> str:
        """Run a program and return its output; raise CommandError if it fails."""
        environment = {
            key: text
            for key, text in os.environ.items()
            if not key.startswith("PG") or key.startswith("PGSSL")  # as for our connections
        }
        if dsn:
            address, password = split_password(dsn)
            arguments = (f"--dbname={address}", *arguments)
            environment |= {"PGPASSWORD": password} if password else {}
        result = subprocess.run(  # noqa: S603
            [self.folder / name, *arguments], capture_output=True, text=True, env=environment
        )
        if result.returncode != 0:
            message = (result.stderr.strip() or "it did not give a reason").splitlines()[-1]
            raise CommandError(f"PostgreSQL's {name} has failed: {message}")
        return result.stdout


def split_password(dsn: str) -> tuple[str, str]:
    """Split a DSN into the DSN without password and the password.

    The password must not appear in the process list.
    """
    parts = urlsplit(dsn)
    user = f"{parts.username}@" if parts.username else ""
    netloc = user + parts.netloc.rpartition("@")[2]
    options = [word for word in parts.query.split("&") if not word.startswith("password=")]
    [given] = parse_qs(parts.query).get("password", [""])[-1:]
    password = unquote(parts.password or "") or given
    return urlunsplit(parts._replace(netloc=netloc, query="&".join(options))), password


def get_database_name(dsn: str) -> str:
    """Return the database name of a DSN."""
    return unquote(urlsplit(dsn).path.strip("/"))


def replace_database_name(dsn: str, name: str) -> str:
    """Return the DSN of another database on the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def fetch_server_version(dsn: str) -> int:
    """Return the major version of the server."""
    connection = await connect_directly(dsn)
    try:
        return int(await connection.fetchval("show server_version_num")) // 10_000
    finally:
        await connection.close()


def _requires_tls(dsn: str) -> bool:
    """Return whether connections must be encrypted."""
    [mode] = parse_qs(urlsplit(dsn).query).get("sslmode", [os.environ.get("PGSSLMODE")])[-1:]
    return mode in ("require", "verify-ca", "verify-full")


def _find_installed_programs(settings: Settings, server_major: int) -> Iterator[tuple[Path, int]]:
    """Yield the folders on this machine that contain pg_dump, and its major version."""
    folders = [settings.mc_pg_bin, Path(f"/usr/lib/postgresql/{server_major}/bin")]
    on_path = shutil.which("pg_dump")
    folders.append(Path(on_path).parent if on_path else None)
    if not _requires_tls(settings.direct_dsn):  # the bundled programs are built without it
        with suppress(PostgresStartError):
            folders.append(find_bundled_programs())
    for folder in filter(None, folders):
        try:
            output = subprocess.run(  # noqa: S603
                [folder / "pg_dump", "--version"], capture_output=True, text=True
            ).stdout
        except OSError:
            continue
        if version := re.search(r"\d+", output):
            yield folder, int(version[0])
