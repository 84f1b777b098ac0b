"""`./run update`: replace this checkout by a signed release.

The process keeps its own code in memory while it replaces the files, so what comes after is done by
processes of the code that is then there. docs/decisions/updates.md gives the reasons.
"""

import asyncio
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from cli.checkout import begin_update, stop_processes
from cli.command import (
    CommandError,
    add_data_option,
    create_parser,
    load_settings,
    print_line,
    repeat_data_option,
    run_as_script,
    run_command,
)
from cli.database import open_database
from cli.database_check import describe_database
from cli.install import PYTHON, UPDATE_VARIABLE
from cli.migrate import get_compatible_since, get_revisions, parse_version
from cli.postgres_programs import get_database_name
from cli.restore import OTHER_CONNECTIONS_QUERY
from cli.server_address import ServerAddress, find_address
from core.config.paths import COMMAND, PROJECT_ROOT
from core.config.settings import Settings
from core.db.engine import connect_directly
from core.version import VERSION
from services.readiness import MIN_FREE_BYTES, find_free_bytes

SIGNERS_FILE = PROJECT_ROOT / "release_signers"
SIGNERS_SETTING = "gpg.ssh.allowedSignersFile"
NO_OTHER_PROGRAMS = (
    *("-c", "gpg.program=false", "-c", "gpg.openpgp.program=false"),
    *("-c", "gpg.x509.program=false"),
)
"""Let git accept signatures of SSH only: it verifies the last one of a tag, of whatever kind, and
gpg would trust all keys of the account."""
TAG_PATTERN = re.compile(r"v(\d{1,5}\.\d{1,5}\.\d{1,5})")
START_TIMEOUT = 120.0  # seconds until a restarted server is ready
CLOSE_TIMEOUT = 5.0  # seconds until PostgreSQL has ended the connections of a process that ended
POLL_INTERVAL = 0.5  # seconds

ABOUT = """\
Install a newer release, or go back to the one before. Only a release whose tag is signed with a key
in release_signers is installed. If it does not start, version and data are those of before."""


def main(arguments: list[str]) -> int:
    parser = create_parser("update", ABOUT)
    parser.add_argument(
        "tag", metavar="TAG", nargs="?", help="the release, such as v1.1.0; else the newest one"
    )
    add_data_option(parser)
    options = parser.parse_args(arguments)
    return run_command(lambda: update_checkout(load_settings(options), options.tag))


@dataclass(frozen=True)
class Release:
    """A release whose signature was verified."""

    tag: str
    commit: str
    compatible_since: str  # the oldest release that can use its database

    @property
    def version(self) -> str:
        return self.tag.removeprefix("v")


@dataclass(frozen=True)
class DatabaseState:
    """What an update has to know about the database."""

    revision: str
    compatible_since: str
    size: int  # bytes
    other_connections: int


def update_checkout(settings: Settings, tag: str | None) -> int:
    """Install a release, by default the newest one. Raises CommandError."""
    former = check_checkout()
    _fetch_tags()
    if tag == f"v{VERSION}":
        print_line(f"Release {VERSION} is installed.")
        return 0
    tag = tag or find_newest_tag()
    if tag is None:
        print_line(f"Release {VERSION} is installed, and there is no newer one.")
        return 0
    release = verify_release(tag)
    check_history(release)
    state = asyncio.run(read_database_state(settings))
    check_compatibility(release, state)
    check_space(settings, state)
    print_line(f"Updating from {VERSION} to {release.version}: the signature of {tag} is valid.")
    print_line(
        "All servers and workers of this checkout stop, also those with other data. Only the data"
        f" of {_describe_data(settings)} is backed up."
    )
    with begin_update() as lock:
        address = find_address(settings.data_dir)
        with stop_processes() as stopped:
            if find_address(settings.data_dir):
                raise CommandError("A server runs that cannot be restarted from here: stop it.")
            Update(settings, release, former, lock).run()
    if stopped:
        print_line(f"Release {release.version} is installed, and starts instead of {VERSION}.")
        return _wait_until_ready(settings, release) if address else 0
    print_line(f"Release {release.version} is installed. Start Mission Control with {COMMAND}")
    return 0


def _describe_data(settings: Settings) -> str:
    """Name the database that is backed up, without its password."""
    if not settings.database_url:
        return str(settings.data_dir)
    name = describe_database(settings.direct_dsn)
    return name[0].lower() + name[1:]


@dataclass
class Update:
    """The part of an update in which no process of the checkout runs."""

    settings: Settings
    release: Release
    former: str  # the branch or commit
    lock: TextIO
    former_state: DatabaseState | None = None

    @property
    def backup(self) -> Path:
        return self.settings.data_dir / f"before-{self.release.tag}.dump"

    def run(self) -> None:
        """Install the release. On a failure, go back and raise CommandError."""
        self.former_state = self._read_state()
        if self.former_state.other_connections:
            check_other_servers(self.release)
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._run_command("backup", str(self.backup))
        print_line(f"All data is in {self.backup}.")
        self.lock.write(self.former)
        self.lock.flush()
        os.fsync(self.lock.fileno())
        try:
            run_git("checkout", "--quiet", "--detach", self.release.commit, lock=self.lock)
            self._install_packages()
            self._run_command("migrate")
            self._run_command("readiness")
        except (CommandError, KeyboardInterrupt) as error:
            reason = str(error) or "The update was interrupted."
            raise CommandError(f"{reason}\n{self._go_back()}") from error
        self.lock.truncate(0)

    def _go_back(self) -> str:
        """Restore code, packages and database; return what was restored as a sentence."""
        print_line(f"The update has failed. Going back to {VERSION} …")
        run_git("checkout", "--quiet", "--force", self.former, lock=self.lock)
        self.lock.truncate(0)
        self._install_packages()
        state = self._read_state()
        assert self.former_state is not None
        if state.revision == self.former_state.revision:
            return f"Release {VERSION} is installed again; the database was not changed."
        if state.other_connections or self.former_state.other_connections:
            return (
                f"Release {VERSION} is installed again. Other servers use the database, so it stays"
                f" at version {state.revision}, which both releases can use."
            )
        try:
            self._run_command("restore", str(self.backup), "--yes")
        except CommandError as error:
            return (
                f"{error} Release {VERSION} is installed again, but the database is at version"
                f" {state.revision}. To have it as it was, stop Mission Control and call {COMMAND}"
                f" restore {self.backup}{repeat_data_option(self.settings)}"
            )
        return f"Release {VERSION} is installed again, and the database is as it was."

    def _read_state(self) -> DatabaseState:
        """Return the state of the database, without connections of processes that have ended."""
        end = time.monotonic() + CLOSE_TIMEOUT
        while True:
            state = asyncio.run(read_database_state(self.settings))
            if not state.other_connections or time.monotonic() > end:
                return state
            time.sleep(POLL_INTERVAL)

    def _install_packages(self) -> None:
        self._run("install", "-I", str(PROJECT_ROOT / "cli/install.py"), "requirements.txt")

    def _run_command(self, name: str, *arguments: str) -> None:
        data = str(self.settings.data_dir.absolute())
        self._run(name, "-P", "-m", f"cli.{name}", *arguments, "--data", data)

    def _run(self, step: str, *arguments: str) -> None:
        """Run a process of the code that is there now. Raises CommandError after its output.

        It inherits the lock, so that it is awaited even if this process is killed.
        """
        environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT), UPDATE_VARIABLE: "1"}
        result = subprocess.run(  # noqa: S603
            [PYTHON, *arguments],
            cwd=PROJECT_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            pass_fds=[self.lock.fileno()],
        )
        if result.returncode != 0:
            print(result.stderr.rstrip(), file=sys.stderr, flush=True)
            raise CommandError(f"The step {step} has failed: see above.")


def check_checkout() -> str:
    """Return the branch or commit of the checkout. Raises CommandError if it cannot be replaced."""
    owner = (PROJECT_ROOT / "run").stat().st_uid
    if owner != os.geteuid():
        raise CommandError(
            "Run it as the owner of the checkout, which is the account of the server."
        )
    if run_git("status", "--porcelain", "--untracked-files=no"):
        raise CommandError("Files of the checkout were changed: `git status` lists them.")
    return run_git("branch", "--show-current") or run_git("rev-parse", "HEAD")


def _fetch_tags() -> None:
    if "origin" in run_git("remote").splitlines():
        run_git("fetch", "--quiet", "--tags", "origin")


def find_newest_tag() -> str | None:
    """Return the tag of the newest release if it is newer than this one."""
    tags = [
        tag for tag in run_git("tag", "--list", "v*").splitlines() if TAG_PATTERN.fullmatch(tag)
    ]
    newest = max(tags, key=lambda tag: parse_version(tag[1:]), default=f"v{VERSION}")
    return newest if parse_version(newest[1:]) > parse_version(VERSION) else None


def verify_release(tag: str) -> Release:
    """Return a release after its signature was verified. Raises CommandError.

    The signature covers the name of the tag, so that no other release has its place.
    """
    if not TAG_PATTERN.fullmatch(tag):
        raise CommandError(f"{tag!r} is not the tag of a release, such as v1.1.0.")
    try:
        id = run_git("rev-parse", "--verify", "--quiet", f"refs/tags/{tag}")
    except CommandError:
        raise CommandError(f"There is no release {tag}.") from None
    is_signed = run_git("cat-file", "-t", id) == "tag"
    content = run_git("cat-file", "tag", id) if is_signed else ""
    if "\n-----BEGIN SSH SIGNATURE-----\n" not in content:
        raise CommandError(f"The tag {tag} is not signed with an SSH key: it is not installed.")
    try:
        run_git(*NO_OTHER_PROGRAMS, *_find_signers(), "verify-tag", id)
    except CommandError as error:
        raise CommandError(
            f"The signature of {tag} is not valid, or not of a key that is trusted: {error}"
        ) from None
    header = content.partition("\n\n")[0].splitlines()
    version = _find_text(id, "core/version.py", "VERSION")
    if f"tag {tag}" not in header or f"v{version}" != tag:
        raise CommandError(f"The tag {tag} was signed with another name, for release {version}.")
    oldest = _find_text(id, "cli/migrate.py", "COMPATIBLE_SINCE")
    return Release(tag, run_git("rev-parse", f"{id}^{{commit}}"), oldest)


def _find_signers() -> Sequence[str]:
    """Return the options of git that select who is trusted."""
    try:
        own = run_git("config", "--local", "--path", SIGNERS_SETTING)
    except CommandError:
        own = ""
    file = Path(own) if own else SIGNERS_FILE
    try:
        lines = [line for line in file.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
    if all(line.startswith("#") for line in lines):
        raise CommandError(f"{file} contains no key, so no signature can be verified.")
    return ["-c", f"{SIGNERS_SETTING}={file}"]


def _find_text(commit: str, file: str, name: str) -> str:
    """Return the version that a constant of a file has in a commit. Raises CommandError."""
    pattern = re.compile(rf'^{name} = "(\d{{1,5}}\.\d{{1,5}}\.\d{{1,5}})"$', re.MULTILINE)
    if found := pattern.search(run_git("show", f"{commit}:{file}")):
        return found[1]
    raise CommandError(f"{file} of the release has no {name}.")


def check_history(release: Release) -> None:
    """Raise CommandError if the checkout has commits of its own, which would be lost."""
    tags = run_git("tag", "--points-at", "HEAD").splitlines()
    if any(map(TAG_PATTERN.fullmatch, tags)):
        return
    try:
        run_git("merge-base", "--is-ancestor", "HEAD", release.commit)
    except CommandError:
        raise CommandError(
            f"This checkout has commits that {release.tag} does not contain."
        ) from None


async def read_database_state(settings: Settings) -> DatabaseState:
    """Return the state of the database, which need not be that of this version."""
    async with open_database(settings) as opened_settings:
        revision, _ = await get_revisions(opened_settings)
        oldest = await get_compatible_since(opened_settings)
        connection = await connect_directly(opened_settings.direct_dsn)
        try:
            size = await connection.fetchval("select pg_database_size(current_database())")
            name = get_database_name(opened_settings.direct_dsn)
            others = await connection.fetchval(OTHER_CONNECTIONS_QUERY, name)
        finally:
            await connection.close()
    return DatabaseState(revision, oldest, size, others)


def check_compatibility(release: Release, state: DatabaseState) -> None:
    """Raise CommandError if the release is an older one that cannot use the database."""
    version, oldest = parse_version(release.version), state.compatible_since
    if version < parse_version(VERSION) and (not oldest or version < parse_version(oldest)):
        raise CommandError(
            f"Release {release.version} cannot use the database of {VERSION}: restore a backup of"
            " that time with it."
        )


def check_other_servers(release: Release) -> None:
    """Raise CommandError if servers of this version cannot use the database of the release."""
    if parse_version(release.compatible_since) > parse_version(VERSION):
        raise CommandError(
            f"Other servers use the database, and {VERSION} cannot use that of {release.version}:"
            " stop them first."
        )


def check_space(settings: Settings, state: DatabaseState) -> None:
    """Raise CommandError if there is no room for a backup and for restoring it."""
    folder, free = find_free_bytes(settings.data_dir)
    needed = MIN_FREE_BYTES + state.size * (1 if settings.database_url else 2)
    if free < needed:
        raise CommandError(
            f"An update needs {needed // 1_000_000} MB for its backup, and {free // 1_000_000} MB"
            f" are free for {folder}."
        )


def _wait_until_ready(settings: Settings, release: Release) -> int:
    """Wait until the restarted server is ready; return the exit status."""
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end:
        address = find_address(settings.data_dir)
        if address and _is_ready(address, release):
            print_line(f"Release {release.version} is ready.")
            return 0
        time.sleep(POLL_INTERVAL)
    raise CommandError(
        f"The server is not ready after {START_TIMEOUT:.0f} s: look at its log, or go back with"
        f" {COMMAND} update v{VERSION}"
    )


def _is_ready(address: ServerAddress, release: Release) -> bool:
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
    connection = http.client.HTTPConnection(local, address.port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        version = json.loads(connection.getresponse().read())["version"]
        connection.request("GET", "/readyz")
        return version == release.version and connection.getresponse().status == 200
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def run_git(*arguments: str, lock: TextIO | None = None) -> str:
    """Run git in the checkout, and return its output. Raises CommandError.

    It inherits the lock, if there is one.
    """
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        result = subprocess.run(  # noqa: S603
            ["git", "-C", str(PROJECT_ROOT), *arguments],  # noqa: S607
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            pass_fds=[lock.fileno()] if lock else [],
        )
    except FileNotFoundError:
        raise CommandError("An update needs git, and there is none here.") from None
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["git did not give a reason"]
        raise CommandError(f"git {arguments[0]} has failed: {lines[-1]}")
    return result.stdout.strip()


if __name__ == "__main__":
    run_as_script(main)
