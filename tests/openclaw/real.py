"""A real gateway of OpenClaw, for the tests that ask for one: npm installs it once."""

import fcntl
import json
import os
import platform
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.openclaw.scripted import MODEL

VERSION = "2026.9.6"
NODE = "24"
CACHE = Path.home() / ".cache" / "mission-control" / f"openclaw-{VERSION}"  # some 850 MB
TO_START = 120  # seconds
TO_STOP = 30

QUIET = {
    "OPENCLAW_SKIP_CHANNELS": "1",
    "OPENCLAW_DISABLE_BONJOUR": "1",
    "OPENCLAW_NO_AUTO_UPDATE": "1",
    "OPENCLAW_OFFLINE": "1",
    "OPENCLAW_NO_RESPAWN": "1",
    "OPENCLAW_EXEC_SHELL_SNAPSHOT": "0",
    "OPENCLAW_ALLOW_MULTI_GATEWAY": "1",
}


@dataclass
class Real:
    """A gateway that runs, and its command line."""

    port: int
    token: str
    state: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it takes calls. What it knew before it knows again."""
        with (self.state / "output").open("ab") as output:
            self.process = subprocess.Popen(
                _openclaw("gateway", "run", "--port", str(self.port)),
                env=_environment(self.state),
                stdout=output,
                stderr=output,
            )
        _wait_until_ready(self.process, self.port, self.state)

    def tell_to_stop(self) -> None:
        """Tell it to stop, which it does once its agents have finished what they are at."""
        if self.process is not None:
            self.process.terminate()

    def stop(self) -> None:
        """Stop it, and don't wait for long for what its agents are at."""
        self.tell_to_stop()
        if self.process is not None:
            try:
                self.process.wait(TO_STOP)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill it as kill -9 does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def run(self, *command: str) -> str:
        """Run `openclaw …` as the gateway's owner does, and return what it prints."""
        done = subprocess.run(
            _openclaw(*command),
            env=_environment(self.state),
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout


@contextmanager
def gateway(state: Path, *, model: str) -> Generator[Real]:
    """Let a gateway run. Its agents have the model that is served at an address."""
    _install()
    real = Real(_free_port(), secrets.token_hex(24), state)
    folder = state / "openclaw"
    folder.mkdir(parents=True)
    config = _config(state, real.port, real.token, model)
    (folder / "openclaw.json").write_text(json.dumps(config))
    try:
        real.start()
        yield real
    finally:
        real.stop()


def _install() -> None:
    """Install node, of a version that the gateway takes, and the gateway, if they aren't there.

    One process does that at a time: those that run tests beside it wait, and find it done.
    """
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with (CACHE.parent / f"{CACHE.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "complete").exists():
            shutil.rmtree(CACHE, ignore_errors=True)
            CACHE.mkdir()
            _fetch()


def _fetch() -> None:
    (CACHE / "package.json").write_text('{"private": true}')
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    node = f"node-{platform.system().lower()}-{machine}@{NODE}"
    for packages in ([node], [f"openclaw@{VERSION}"]):
        path = f"{_node().parent}:{os.environ['PATH']}" if _found() else os.environ["PATH"]
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *packages],
            cwd=CACHE,
            env={**os.environ, "PATH": path},
            check=True,
        )
    (CACHE / "complete").touch()


def _found() -> list[Path]:
    return sorted(CACHE.glob("node_modules/node-*/bin/node"))


def _node() -> Path:
    return _found()[0]


def _openclaw(*command: str) -> list[str]:
    return [str(_node()), str(CACHE / "node_modules/openclaw/openclaw.mjs"), *command]


def _environment(state: Path) -> dict[str, str]:
    """Return an environment in which nothing of the caller's shows."""
    folders = {"HOME": state / "home", "TMPDIR": CACHE / "tmp"}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    return {
        **QUIET,
        **{name: str(folder) for name, folder in folders.items()},
        "PATH": f"{_node().parent}:{os.environ['PATH']}",
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
        "telemetry": {"enabled": False},
        "discovery": {"mdns": {"mode": "off"}},
        "logging": {"file": str(state / "gateway.log")},
        "tools": {"exec": {"host": "gateway", "mode": "full"}},
        "models": {
            "mode": "replace",
            "catalogRefresh": {"enabled": False},
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


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, state: Path) -> None:
    until = time.monotonic() + TO_START
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.25)
    raise RuntimeError(f"the gateway did not start:\n{(state / 'output').read_text()[-4000:]}")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
