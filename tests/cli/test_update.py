"""./run update: a checkout, its server and its database change to a signed release, or to none."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from alembic.script import ScriptDirectory

from cli.migrate import SCRIPTS
from cli.update import find_newest_tag
from core.version import VERSION
from tests.cli.conftest import ROOT, sign_up_owner
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
UNSIGNED, FOREIGN, RENAMED, DISGUISED = map(build_version, range(5, 9))
FAKE_GPG = (
    "#!/bin/sh\ncat >/dev/null\nprintf '\\n[GNUPG:] GOODSIG 1 Eve\\n[GNUPG:] TRUST_ULTIMATE\\n'\n"
)
SIGNATURE_OF_GPG = """
-----BEGIN SSH SIGNATURE-----
-----BEGIN PGP SIGNATURE-----
-----END PGP SIGNATURE-----
"""


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
    repository.add_release(DISGUISED, added, key=None)
    message = ("--cleanup=verbatim", "--message", SIGNATURE_OF_GPG)
    repository.git("tag", "--force", "--annotate", *message, f"v{DISGUISED}")
    return repository


@dataclass
class Checkout:
    """A clone of the first release, and its server."""

    folder: Path
    data: Path
    server: Installation
    environment: dict[str, str]
    process: subprocess.Popen[str] | None = None
    browser: httpx2.Client = field(init=False)

    def start_update(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.folder / "run", "update", *arguments, "--data", self.data],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def update(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start_update(*arguments)
        output, errors = process.communicate(timeout=TIMEOUT)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    @contextmanager
    def run(self) -> Generator[None]:
        """Run the server during the block. It must stop without an error."""
        words = [self.folder / "run", "--port", str(self.server.port), "--data", self.data]
        with (self.folder.parent / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                words, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            self.wait_until_ready()
            yield
        finally:
            self.process.send_signal(signal.SIGINT)
            assert self.process.wait(TIMEOUT) == 0
            assert self.process.stdout is not None
            self.process.stdout.close()

    @contextmanager
    def serve(self) -> Generator[ApiClient]:
        """Run the server with an owner and one board; yield a client of its API."""
        INITIAL_DATABASE.copy_into(self.data)
        with self.run():
            self.browser = sign_up_owner(self.server)
            with closing(self.browser), ApiClient(self.server.url, LOCAL_TOKEN) as api:
                api.call("POST", "/auth/bootstrap")
                api.create_board("Kept")
                yield api

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
    return clone_release(repository, tmp_path / "checkout", tmp_path / "data")


def clone_release(
    repository: ReleaseRepository, folder: Path, data: Path, version: str = VERSION
) -> Checkout:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    fixed = {"MC_ENV_FILE": os.devnull, "PYTHONUNBUFFERED": "1", "RATE_LIMIT_REQUESTS": "100000"}
    environment = kept | IDENTITY | LOCAL_AUTH | fixed
    repository.clone(folder, version)
    return Checkout(folder, data, Installation(data, find_free_port()), environment)


def list_board_names(api: ApiClient) -> list[str]:
    return [board["name"] for board in api.call("GET", "/boards")["items"]]


@repetition
def test_an_update_restarts_the_server_and_one_release_back_is_possible(
    checkout: Checkout,
) -> None:
    with checkout.serve() as api:
        updated = checkout.update(f"v{NEXT}")
        assert updated.returncode == 0, updated.stderr
        assert updated.stdout.endswith(f"Release {NEXT} is ready.\n")
        assert f"Only the data of {checkout.data} is backed up." in updated.stdout
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
        f"v{DISGUISED}": "not of a key that is trusted",
        "v99.0.0": "There is no release v99.0.0.",
        "main": "'main' is not the tag of a release",
        "--help": "'--help' is not the tag of a release",
        "v1." + "9" * 100_000: "is not the tag of a release",
    }
    gpg = checkout.data.parent / "gpg"  # which trusts the key of Eve
    gpg.write_text(FAKE_GPG)
    gpg.chmod(0o700)
    subprocess.run(["git", "-C", checkout.folder, "config", "gpg.program", gpg], check=True)
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


RESTART_AT_START = """
import os, signal
from cli.checkout import RESTART_SIGNAL, run_from_checkout
with run_from_checkout():
    os.kill(os.getpid(), RESTART_SIGNAL)  # before it handles stop signals
    signal.pause()
"""


def test_a_process_that_only_begins_to_start_is_started_again() -> None:
    words = [sys.executable, "-c", RESTART_AT_START, "--version"]
    restarted = subprocess.run(words, cwd=ROOT, stdout=-1, text=True, timeout=TIMEOUT)
    assert (restarted.returncode, restarted.stdout) == (0, f"Mission Control {VERSION}\n")


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


@repetition
def test_a_failed_update_says_what_to_do_if_the_restore_fails(
    repository: ReleaseRepository, checkout: Checkout
) -> None:
    """The release before the update uses the migrated database."""
    with checkout.serve() as api:
        failed = checkout.start_update(f"v{WAITING}")
        (repository.folder.parent / "reached").read_text()  # it is in the second migration
        backup = checkout.data / f"before-v{WAITING}.dump"
        backup.write_text("damaged")
        os.killpg(failed.pid, signal.SIGINT)
        _, errors = failed.communicate(timeout=TIMEOUT)
        assert failed.returncode == 1
        assert "The update was interrupted.\nThe step restore has failed: see above." in errors
        assert f"restore {backup} --data {checkout.data}" in errors
        checkout.wait_until_ready()
        assert (checkout.get_version(), list_board_names(api)) == (VERSION, ["Kept"])
        assert checkout.query("select version_num from alembic_version") == "next1"


@repetition
def test_a_failed_update_keeps_what_other_servers_wrote(
    repository: ReleaseRepository, checkout: Checkout
) -> None:
    """They use the database when the update begins, but not when it goes back."""
    with checkout.serve() as api, asyncio.Runner() as runner:
        database = checkout.server.database()
        other = runner.run(asyncpg.connect(database.start()))
        failed = checkout.start_update(f"v{WAITING}")
        (repository.folder.parent / "reached").read_text()  # it is in the second migration
        runner.run(other.execute("update boards set name = 'Renamed'"))
        runner.run(other.close())
        os.killpg(failed.pid, signal.SIGINT)
        _, errors = failed.communicate(timeout=TIMEOUT)
        assert "so it stays at version next1" in errors
        checkout.wait_until_ready()
        assert (checkout.get_version(), list_board_names(api)) == (VERSION, ["Renamed"])
        database.stop()


@dataclass
class Load:
    """Requests of a script, a person and a stream, as a balancer sends them to the servers."""

    board: str
    cookies: httpx2.Cookies
    servers: list[str]  # that get new requests
    created: list[str] = field(default_factory=list)
    received: list[str] = field(default_factory=list)  # titles of tasks
    failures: list[str] = field(default_factory=list)
    requests: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    is_followed: threading.Event = field(default_factory=threading.Event)
    is_complete: threading.Event = field(default_factory=threading.Event)  # all tasks are there

    @contextmanager
    def run(self) -> Generator[None]:
        threads = [threading.Thread(target=it) for it in (self.follow, self.read, self.write)]
        threads[0].start()
        assert self.is_followed.wait(TIMEOUT)
        for thread in threads[1:]:
            thread.start()
        try:
            yield
            self.wait_for_requests()
        finally:
            self.stop.set()
            for thread in threads[1:]:
                thread.join(TIMEOUT)
            self.is_complete.set()
            threads[0].join(TIMEOUT)

    def wait_for_requests(self) -> None:
        """Wait until the servers that get requests now have answered some of each kind."""
        created, requests = len(self.created) + 3, self.requests + 20
        while not self.failures and (len(self.created) < created or self.requests < requests):
            self.stop.wait(0.02)
        assert self.failures == []

    def write(self) -> None:
        with httpx2.Client(
            headers={"Authorization": f"Bearer {LOCAL_TOKEN}"}, timeout=60
        ) as client:
            while not self.stop.is_set():
                title = f"Task {len(self.created)}"
                path = f"/api/v1/boards/{self.board}/tasks"
                self.send(client, "POST", path, json={"title": title})
                self.created.append(title)

    def read(self) -> None:
        with httpx2.Client(cookies=self.cookies, timeout=60) as client:
            while not self.stop.is_set():
                for path in (f"/boards/{self.board}", "/activity", "/agents"):
                    self.send(client, "GET", path)

    def send(self, client: httpx2.Client, method: str, path: str, **options: Any) -> None:
        self.requests += 1
        url = self.servers[self.requests % len(self.servers)] + path
        try:
            response = client.request(method, url, **options)
        except httpx2.HTTPError as error:
            self.failures.append(f"{method} {url}: {error!r}")
        else:
            if response.status_code not in (200, 201):
                self.failures.append(f"{method} {url}: {response.status_code} {response.text}")

    def follow(self) -> None:
        """Read the stream of the board; connect again where it ends, as browsers do."""
        last = ""
        headers = {"Authorization": f"Bearer {LOCAL_TOKEN}"}
        with httpx2.Client(timeout=60) as client:
            while not self.is_complete.is_set():
                sent = headers | ({"Last-Event-ID": last} if last else {})
                url = f"{self.servers[-1]}/api/v1/boards/{self.board}/tasks/stream"
                with suppress(httpx2.HTTPError), client.stream("GET", url, headers=sent) as stream:
                    self.is_followed.set()
                    for line in stream.iter_lines():
                        if line.startswith("id:"):
                            last = line.removeprefix("id:").strip()
                        if line.startswith("data:"):
                            self.received.append(json.loads(line[5:])["task"]["title"])
                        if self.is_complete.is_set() and self.received[-1:] == self.created[-1:]:
                            return


@repetition
def test_no_request_fails_while_one_release_follows_another(
    repository: ReleaseRepository, checkout: Checkout, tmp_path: Path
) -> None:
    following = clone_release(repository, tmp_path / "next", checkout.data, NEXT)
    with checkout.serve() as api, ExitStack() as stack:
        [board] = api.call("GET", "/boards")["items"]
        load = Load(board["id"], checkout.browser.cookies, [checkout.server.url])
        with load.run():
            load.wait_for_requests()
            stack.enter_context(following.run())  # it migrates
            assert checkout.query("select version_num from alembic_version") == "next1"
            load.servers = [checkout.server.url, following.server.url]
            load.wait_for_requests()
            load.servers = [following.server.url]
            load.wait_for_requests()  # none is sent to the other one any more
            assert checkout.process is not None
            checkout.process.send_signal(signal.SIGINT)
            assert checkout.process.wait(TIMEOUT) == 0
            load.wait_for_requests()
        assert load.received == load.created


@pytest.mark.parametrize(
    ("tags", "newest"),
    [
        ("v999.9.0\nv999.10.0\nv999.2.0", "v999.10.0"),  # as text, 9 is after 10
        (f"v{VERSION}\nv0.9.0", None),
        ("vnext\nv999", None),
        ("", None),
    ],
)
def test_the_newest_release_is_found_by_its_numbers(
    monkeypatch: pytest.MonkeyPatch, tags: str, newest: str | None
) -> None:
    monkeypatch.setattr("cli.update.run_git", lambda *_arguments: tags)
    assert find_newest_tag() == newest
