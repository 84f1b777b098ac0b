"""A running Mission Control, started on a folder of its own as a person starts it."""

import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from kit.postgres import EmbeddedPostgres

ROOT = Path(__file__).parent.parent
LOCAL_TOKEN = "only-for-the-tests-" + "0123456789" * 4
LOCAL = {"AUTH_MODE": "local", "LOCAL_AUTH_TOKEN": LOCAL_TOKEN}


@dataclass
class Installation:
    """Where it answers, the link it printed, and how it was started."""

    data: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    link: str = ""
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.data.parent / "server.log").read_text()

    def start(self) -> "Installation":
        """Start it, and wait until it says that it is ready."""
        command = [sys.executable, "-m", "bin", "--port", str(self.port), "--data", str(self.data)]
        outside = {"MC_ENV_FILE": os.devnull, "PYTHONUNBUFFERED": "1"}
        with (self.data.parent / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **outside, **self.environment},
            )
        assert self.process.stdout is not None
        printed = ""
        for line in self.process.stdout:
            printed += line
            if line.startswith("Ready."):
                break
        else:
            self.process.wait(20)
            raise AssertionError(f"it did not start:\n{printed}\n{self.log}")
        link = re.search(r"http://\S+/first-run\?\S+", printed)
        self.link = link[0] if link else ""
        return self

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the app as kill -9 does. Its database goes on."""
        self._end(signal.SIGKILL)

    def kill_database(self) -> None:
        """Kill PostgreSQL as kill -9 does."""
        os.kill(self._postmaster(), signal.SIGKILL)

    def database(self) -> EmbeddedPostgres:
        """Return its database, to be held beside it."""
        return EmbeddedPostgres(self.data)

    def _postmaster(self) -> int:
        [file] = self.database().home.glob("**/postmaster.pid")
        return int(file.read_text().split()[0])

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Api:
    """A program that calls the API with a token."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self.client = httpx2.Client(base_url=f"{url}/api/v1", headers=headers, timeout=20)

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def call(self, method: str, path: str, status: int = 200, **json: Any) -> Any:
        """Call, and return what was answered. Fails unless the status is the one that is given."""
        response = self.client.request(method, path, json=json or None)
        assert response.status_code == status, (path, response.status_code, response.text)
        return response.json()

    def board(self, name: str = "Launch", **fields: Any) -> dict[str, Any]:
        """Make a board that asks nothing of its tasks."""
        wanted: dict[str, Any] = {
            "slug": "",
            "description": "For tests",
            "require_approval_for_done": False,
        }
        return self.call("POST", "/boards", name=name, board_type="general", **(wanted | fields))
