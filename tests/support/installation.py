"""A real installation of Mission Control in a temporary folder."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx2

from embedded_postgres.instance import EmbeddedPostgres
from tests.support.initial_database import INITIAL_DATABASE
from tests.support.preloaded_product import DEFAULTS, PRODUCT, ForkedProcess

ROOT = Path(__file__).parent.parent.parent
TIMEOUT = 60  # seconds: what takes longer hangs, also on a busy machine
LOCAL_TOKEN = "only-for-the-tests-" + "0123456789" * 4
LOCAL_AUTH = {"AUTH_MODE": "local", "LOCAL_AUTH_TOKEN": LOCAL_TOKEN}


@dataclass
class Installation:
    """The process of an installation, its data folder, port, environment and first-run link."""

    data_dir: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    link: str = ""
    process: ForkedProcess | subprocess.Popen[str] | None = None
    words: tuple[str, ...] = ()  # the subcommand with its options
    with_nohup: bool = False  # as if `nohup` started it; only if it is prepared
    is_prepared: bool = True  # False: it imports the product and creates the database for itself

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.data_dir.parent / "server.log").read_text()

    def start(self) -> "Installation":
        """Start the installation and wait until it prints that it is ready."""
        words = [*self.words, "--port", str(self.port), "--data", str(self.data_dir)]
        with (self.data_dir.parent / "server.log").open("a") as log:
            self.process = self._run(words, self.environment, log)
        assert self.process.stdout is not None
        printed = ""
        for line in self.process.stdout:
            printed += line
            if line.startswith("Ready."):
                break
        else:
            self.process.wait(TIMEOUT)
            raise AssertionError(f"it did not start:\n{printed}\n{self.log}")
        link = re.search(r"https?://\S+/first-run#\S+", printed)
        self.link = link[0] if link else ""
        return self

    def stop(self) -> None:
        """Stop the server with SIGINT, like Ctrl-C."""
        self._send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server with SIGKILL. Its database keeps running."""
        self._send_signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the server with SIGSTOP, until `unfreeze`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def unfreeze(self) -> None:
        """Let a frozen server continue."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill_database(self) -> None:
        """Kill PostgreSQL with SIGKILL."""
        os.kill(self._find_postmaster_pid(), signal.SIGKILL)

    def database(self) -> EmbeddedPostgres:
        """Return the database of the installation, which the test can use as well."""
        return EmbeddedPostgres(self.data_dir)

    def _run(
        self, words: list[str], environment: dict[str, str], log: IO[str]
    ) -> ForkedProcess | subprocess.Popen[str]:
        if self.is_prepared:
            INITIAL_DATABASE.copy_into(self.data_dir)
            return PRODUCT.run(words, environment, log, with_nohup=self.with_nohup)
        return subprocess.Popen(
            [sys.executable, "-m", "cli", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **DEFAULTS, **environment},
        )

    def _find_postmaster_pid(self) -> int:
        [file] = self.database().home.glob("**/postmaster.pid")
        return int(file.read_text().split()[0])

    def _send_signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(TIMEOUT)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


@contextmanager
def run_separate_worker(installation: Installation) -> Generator[ForkedProcess]:
    """Run a worker in a process of its own, on the database of an installation."""
    environment = {"BASE_URL": installation.url} | installation.environment
    with open(os.devnull, "w") as nothing:
        words = ["worker", "--data", str(installation.data_dir)]
        worker = PRODUCT.run(words, environment, nothing)
    try:
        assert any("worker is ready" in line for line in worker.stdout)
        yield worker
    finally:
        if worker.poll() is None:
            worker.send_signal(signal.SIGINT)
        worker.wait(TIMEOUT)
        worker.stdout.close()


def find_free_port() -> int:
    """Return a free port below those that the system gives to connections and other servers."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


class ApiClient:
    """A client of the API with a token."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self.client = httpx2.Client(base_url=f"{url}/api/v1", headers=headers, timeout=TIMEOUT)

    def __enter__(self) -> "ApiClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def call(self, method: str, path: str, status: int = 200, **json: Any) -> Any:
        """Call the API, check the status, and return the JSON of the response."""
        response = self.client.request(method, path, json=json or None)
        assert response.status_code == status, (path, response.status_code, response.text)
        return response.json()

    def create_board(self, name: str = "Launch", **fields: Any) -> dict[str, Any]:
        """Create a board whose tasks need no approval."""
        defaults: dict[str, Any] = {
            "slug": "",
            "description": "For tests",
            "require_approval_for_done": False,
        }
        return self.call("POST", "/boards", name=name, board_type="general", **(defaults | fields))
