"""A real OpenClaw gateway for the tests of `--gateway`; npm installs each version once."""

import json
import os
import platform
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.fake_llm import MODEL
from tests.support.installed_packages import (
    CACHE,
    PackagesMissing,
    install_npm_packages,
    install_once,
)

NEWEST_VERSION = "2026.9.6"
VERSION = os.environ.get("MC_TEST_GATEWAY_VERSION", NEWEST_VERSION)
NODE = "24"
FOLDER = CACHE / "mission-control" / f"openclaw-{VERSION}"  # about 850 MB
INSTALL_TIMEOUT = 1800  # seconds
START_TIMEOUT = 300  # seconds; 12 on an idle machine
STOP_TIMEOUT = 30

QUIET_ENVIRONMENT = {
    "OPENCLAW_SKIP_CHANNELS": "1",
    "OPENCLAW_DISABLE_BONJOUR": "1",
    "OPENCLAW_NO_AUTO_UPDATE": "1",
    "OPENCLAW_OFFLINE": "1",
    "OPENCLAW_NO_RESPAWN": "1",
    "OPENCLAW_EXEC_SHELL_SNAPSHOT": "0",
    "OPENCLAW_ALLOW_MULTI_GATEWAY": "1",
}


@dataclass
class RealGateway:
    """A gateway process and its command line."""

    port: int
    token: str
    state_dir: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the gateway on its previous state, and wait until it accepts calls."""
        with (self.state_dir / "output").open("ab") as output:
            self.process = subprocess.Popen(
                _openclaw("gateway", "run", "--port", str(self.port)),
                env=_environment(self.state_dir),
                stdout=output,
                stderr=output,
            )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the gateway accepts calls, also while it restarts itself."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                break
            if _is_ready(self.port):
                return
            time.sleep(0.25)
        output = (self.state_dir / "output").read_text()[-4000:]
        raise RuntimeError(f"the gateway is not ready:\n{output}")

    def request_stop(self) -> None:
        """Request a stop, which happens after the current turns of its agents."""
        if self.process is not None:
            self.process.terminate()

    def stop(self) -> None:
        """Stop the gateway; kill it if the turns of its agents take longer than STOP_TIMEOUT."""
        self.request_stop()
        if self.process is not None:
            try:
                self.process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill the gateway with SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def run_cli(self, *command: str) -> str:
        """Run `openclaw …` as the owner of the gateway, and return its output."""
        done = subprocess.run(
            _openclaw(*command),
            env=_environment(self.state_dir),
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout


@contextmanager
def run_real_gateway(
    state: Path, *, model: str, config: Mapping[str, Any] | None = None
) -> Generator[RealGateway]:
    """Run a gateway during the block. `model` is the URL of the model of its agents.

    `config` replaces parts of its configuration.
    """
    install_once(FOLDER, _install)
    real = RealGateway(_find_free_port(), secrets.token_hex(24), state)
    folder = state / "openclaw"
    folder.mkdir(parents=True)
    defaults = _config(state, real.port, real.token, model)
    (folder / "openclaw.json").write_text(json.dumps({**defaults, **(config or {})}))
    try:
        real.start()
        yield real
    finally:
        real.stop()


def _install() -> None:
    """Install the gateway, and before that a Node.js version that it supports."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    node = f"node-{platform.system().lower()}-{machine}@{NODE}"
    install_npm_packages(FOLDER, node, timeout=INSTALL_TIMEOUT)
    path = f"{find_node(FOLDER).parent}:{os.environ['PATH']}"
    install_npm_packages(FOLDER, f"openclaw@{VERSION}", path=path, timeout=INSTALL_TIMEOUT)


def find_node(folder: Path) -> Path:
    """Return the Node.js program of an installation. Raises PackagesMissing."""
    node = next(folder.glob("node_modules/node-*/bin/node"), None)
    if node is None:
        raise PackagesMissing(f"there is no Node.js in {folder}")
    return node


def _openclaw(*command: str) -> list[str]:
    return [str(find_node(FOLDER)), str(FOLDER / "node_modules/openclaw/openclaw.mjs"), *command]


def _environment(state: Path) -> dict[str, str]:
    """Return an environment without the configuration of the caller."""
    folders = {"HOME": state / "home", "TMPDIR": FOLDER / "tmp"}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    return {
        **QUIET_ENVIRONMENT,
        **{name: str(folder) for name, folder in folders.items()},
        "PATH": f"{find_node(FOLDER).parent}:{os.environ['PATH']}",
        "OPENCLAW_STATE_DIR": str(state / "openclaw"),
        "OPENCLAW_CONFIG_PATH": str(state / "openclaw" / "openclaw.json"),
    }


def _config(state: Path, port: int, token: str, url: str) -> dict[str, Any]:
    model = {
        "id": MODEL,
        "name": "Scripted",
        "reasoning": False,
        "input": ["text"],
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
        "contextWindow": 128000,
        "maxTokens": 4096,
    }
    is_older = [int(number) for number in VERSION.split(".")[:2]] < [2026, 8]
    no_telemetry = {} if is_older else {"telemetry": {"enabled": False}}
    no_refresh = {} if is_older else {"catalogRefresh": {"enabled": False}}
    provider = {"baseUrl": url, "apiKey": "none", "api": "openai-completions"}
    return {
        "gateway": {
            "mode": "local",
            "port": port,
            "bind": "loopback",
            "auth": {"mode": "token", "token": token},
            "controlUi": {"enabled": False},
            "trustedProxies": ["127.0.0.1"],
        },
        "plugins": {"enabled": False},
        "update": {"checkOnStart": False},
        **no_telemetry,
        "discovery": {"mdns": {"mode": "off"}},
        "logging": {"file": str(state / "gateway.log")},
        "tools": {"exec": {"host": "gateway", "mode": "full"}},
        "models": {
            "mode": "replace",
            **no_refresh,
            "providers": {"scripted": {**provider, "models": [model]}},
        },
        "agents": {
            "defaults": {
                "model": {"primary": f"scripted/{MODEL}"},
                "workspace": str(state / "workspace"),
                "heartbeat": {"every": "0m", "target": "none"},
            }
        },
    }


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _find_free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
