"""Fixtures that run the real commands on temporary data folders."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import httpx2
import pytest

from tests.support.installation import LOCAL_AUTH, Installation, find_free_port
from tests.support.preloaded_product import PRODUCT

ROOT = Path(__file__).parent.parent.parent
OWNER = {"name": "Olga", "email": "olga@example.com", "password": "correct horse battery"}
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}
TIMEOUT = 120  # seconds; a command that takes longer hangs


@contextmanager
def start_installation(
    folder: Path, *, is_prepared: bool = True
) -> Generator[Installation, None, None]:
    """Run a new installation during the block."""
    environment = LOCAL_AUTH | {"LOG_LEVEL": "WARNING"}
    installation = Installation(
        folder / "data", find_free_port(), environment, is_prepared=is_prepared
    )
    yield installation.start()
    installation.stop()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """An installation for one test."""
    with start_installation(tmp_path) as installation:
        yield installation


@pytest.fixture(scope="module")
def shared_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation from nothing for the tests of a module that do not change it."""
    folder = tmp_path_factory.mktemp("shared")
    with start_installation(folder, is_prepared=False) as installation:
        yield installation


def run_cli(*arguments: str, data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a data folder, in a forked process, and wait for its end."""
    return run_forked(*arguments, "--data", str(data), **environment)


def run_forked(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a forked process, and wait for its end."""
    with TemporaryFile("w+") as errors:
        process = PRODUCT.run(words, {"MC_ENV_FILE": os.devnull, **environment}, errors)
        timer = threading.Timer(TIMEOUT, process.send_signal, [signal.SIGKILL])
        timer.start()
        with process.stdout:
            output = process.stdout.read()
        status = process.wait(TIMEOUT)
        timer.cancel()
        errors.seek(0)
        return subprocess.CompletedProcess(words, status, output, errors.read())


def run_command_line(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command and wait for its end."""
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env={**os.environ, "MC_ENV_FILE": os.devnull, **environment},
    )


def sign_up_owner(installation: Installation) -> httpx2.Client:
    """Create the owner with the first-run link, and return the owner's HTTP client."""
    browser = httpx2.Client(base_url=installation.url, headers=SAME_SITE, timeout=20)
    path, _, link = installation.link.removeprefix(installation.url).partition("#")
    assert browser.post(path, data={"link": link, **OWNER}).status_code == 303
    return browser
