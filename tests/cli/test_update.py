"""./run update: a checkout, its server and its database change to a signed release, or to none."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from alembic.script import ScriptDirectory

from cli.migrate import SCRIPTS
from core.version import VERSION
from tests.cli.conftest import sign_up_owner
from tests.support.initial_database import INITIAL_DATABASE
from tests.support.installation import (
    LOCAL_AUTH,
    LOCAL_TOKEN,
    ApiClient,
    Installation,
    find_free_port,
)
from tests.support.migration_rules import HEADER
from tests.support.release_repository import IDENTITY, ReleaseRepository, build_version
from tests.support.tiers import repetition

TIMEOUT = 300  # seconds; an update starts eight processes, of code that is not compiled
HEAD = ScriptDirectory(str(SCRIPTS)).get_current_head()
NEXT, FAILING, UNREADY, WAITING = map(build_version, range(1, 5))
UNSIGNED, FOREIGN, RENAMED = map(build_version, range(5, 8))


def build_migration(revision: str, after: str | None, body: str) -> dict[str, str]:
    text = HEADER.format(revision, after) + f"def upgrade() -> None:\n    {body}\n"
    return {f"migrations/versions/{revision}.py": text}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> ReleaseRepository:
    folder = tmp_path_factory.mktemp("releases")
    repository = ReleaseRepository.create(folder)
    added = build_migration("next1", HEAD, "op.execute('alter table tags add icon text')")
    repository.add_release(NEXT, added)
    failing = build_migration("next2", "next1", "op.execute('select 1 / 0')")
    repository.add_release(FAILING, added | failing)
    readiness = repository.folder / "services/readiness.py"
    changed = readiness.read_text().replace(
        "MAX_CLOCK_DIFFERENCE = 5.0", "MAX_CLOCK_DIFFERENCE = -1.0"
    )
    changed = changed.replace("{CheckName.FUNCTIONS, CheckName.CLOCK, ", "{CheckName.FUNCTIONS, ")
    repository.add_release(UNREADY, added | {"services/readiness.py": changed})
    os.mkfifo(folder / "reached")
    waiting = f"open({str(folder / 'reached')!r}, 'w').close(); import signal; signal.pause()"
    repository.add_release(WAITING, added | build_migration("next2", "next1", waiting))
    repository.add_release(UNSIGNED, added, key=None)
    repository.add_release(FOREIGN, added, key="stranger")
    repository.git("tag", f"v{RENAMED}", f"v{NEXT}")
    return repository


@dataclass
class Checkout:
    """A clone of the first release, and its server."""

    folder: Path
    data: Path
    server: Installation
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[str] | None" = None
    browser: httpx2.Client = field(init=False)

    def start_update(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [self.folder / "run", "update", *arguments, "--data", self.data],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def update(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        process = self.start_update(*arguments)
        output, errors = process.communicate(timeout=TIMEOUT)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    @contextmanager
    def serve(self) -> Generator[ApiClient]:
        """Run the server with one board; yield a client of its API."""
        INITIAL_DATABASE.copy_into(self.data)
        words = [self.folder / "run", "--port", str(self.server.port), "--data", self.data]
        with (self.folder.parent / "server.log").open("w") as log:
            self.process = subprocess.Popen(
                words, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            self.wait_until_ready()
            self.browser = sign_up_owner(self.server)
            with self.browser, ApiClient(self.server.url, LOCAL_TOKEN) as api:
                api.call("POST", "/auth/bootstrap")
                api.create_board("Kept")
                yield api
        finally:
            self.process.send_signal(signal.SIGINT)
            assert self.process.wait(TIMEOUT) == 0
            assert self.process.stdout is not None
            self.process.stdout.close()

    def wait_until_ready(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if "/first-run#" in line:
                self.server.link = line.split()[-1]
            if line.startswith("Ready."):
                return
        log = (self.folder.parent / "server.log").read_text()
        raise AssertionError(f"it did not start:\n{''.join(lines)}\n{log}")

    def get_version(self) -> str:
        return httpx2.get(f"{self.server.url}/healthz").json()["version"]

    def query(self, statement: str) -> Any:
        """Return a value of the database of the running server."""

        async def fetch() -> Any:
            connection = await asyncpg.connect(self.server.database().start())
            try:
                return await connection.fetchval(statement)
            finally:
                await connection.close()

        return asyncio.run(fetch())


@pytest.fixture
def checkout(repository: ReleaseRepository, tmp_path: Path) -> Checkout:
    data = tmp_path / "data"
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    environment = (
        kept | IDENTITY | LOCAL_AUTH | {"MC_ENV_FILE": os.devnull, "PYTHONUNBUFFERED": "1"}
    )
    folder = repository.clone(tmp_path / "checkout")
    return Checkout(folder, data, Installation(data, find_free_port()), environment)


def list_board_names(api: ApiClient) -> list[str]:
    return [board["name"] for board in api.call("GET", "/boards")["items"]]


def test_an_update_restarts_the_server_and_one_release_back_is_possible(
    checkout: Checkout,
) -> None:
    with checkout.serve() as api:
        updated = checkout.update(f"v{NEXT}")
        assert updated.returncode == 0, updated.stderr
        assert updated.stdout.endswith(f"Release {NEXT} is ready.\n")
        assert (checkout.get_version(), list_board_names(api)) == (NEXT, ["Kept"])
        checkout.wait_until_ready()  # the same process
        back = checkout.update(f"v{VERSION}")
        assert back.returncode == 0, back.stderr
        assert (checkout.get_version(), list_board_names(api)) == (VERSION, ["Kept"])
        api.create_board("With the schema of the next release")
        assert (checkout.data / f"before-v{NEXT}.dump").is_file()


VERIFY = """
import sys
from cli.update import CommandError, verify_release
for tag in sys.argv[1:]:
    try:
        print(verify_release(tag).commit)
    except CommandError as error:
        print(error)
"""


def test_only_a_release_that_a_maintainer_signed_is_installed(
    repository: ReleaseRepository, checkout: Checkout
) -> None:
    found = {
        f"v{NEXT}": repository.git("rev-parse", f"v{NEXT}^{{commit}}"),
        f"v{UNSIGNED}": "is not signed with an SSH key",
        f"v{FOREIGN}": "not of a key that is trusted",
        f"v{RENAMED}": "was signed with another name",
        "v99.0.0": "There is no release v99.0.0.",
        "main": "'main' is not the tag of a release",
        "--help": "'--help' is not the tag of a release",
        "v1." + "9" * 100_000: "is not the tag of a release",
    }
    environment = checkout.environment | {"PYTHONPATH": str(checkout.folder)}
    words = [sys.executable, "-c", VERIFY, *found]
    verified = subprocess.run(
        words, env=environment, cwd=checkout.data.parent, stdout=-1, text=True
    )
    for line, (tag, expected) in zip(verified.stdout.splitlines(), found.items(), strict=True):
        assert expected in line, tag


def test_a_changed_checkout_is_not_updated(checkout: Checkout) -> None:
    (checkout.folder / "README.md").write_text("Changed")
    refused = checkout.update()
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "Files of the checkout were changed" in refused.stderr
    assert not checkout.data.exists()


@repetition
@pytest.mark.parametrize(
    ("version", "problem"),
    [(FAILING, "division by zero"), (UNREADY, '"failed":["clock"]')],
    ids=["migration", "not ready"],
)
def test_a_failed_update_restores_version_and_database(
    checkout: Checkout, version: str, problem: str
) -> None:
    with checkout.serve() as api:
        failed = checkout.update(f"v{version}")
        assert failed.returncode == 1
        assert problem in failed.stderr, failed.stderr
        assert "and the database is as it was" in failed.stderr
        checkout.wait_until_ready()
        assert (checkout.get_version(), list_board_names(api)) == (VERSION, ["Kept"])
        assert checkout.query("select version_num from alembic_version") == HEAD


@repetition
def test_a_killed_update_leads_back_and_can_be_repeated(
    repository: ReleaseRepository, checkout: Checkout
) -> None:
    with checkout.serve() as api:
        killed = checkout.start_update(f"v{WAITING}")
        (repository.folder.parent / "reached").read_text()  # it is in the second migration
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate(timeout=TIMEOUT)
        checkout.wait_until_ready()
        assert (checkout.get_version(), list_board_names(api)) == (VERSION, ["Kept"])
        assert checkout.query("select version_num from alembic_version") == "next1"
        repeated = checkout.update(f"v{NEXT}")
        assert repeated.returncode == 0, repeated.stderr
        assert (checkout.get_version(), list_board_names(api)) == (NEXT, ["Kept"])
