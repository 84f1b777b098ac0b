"""Commands that really run, as a person calls them, on data folders of the tests' own."""

import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.installation import LOCAL, Installation, free_port

ROOT = Path(__file__).parent.parent.parent
OWNER = {"name": "Olga", "email": "olga@example.com", "password": "correct horse battery"}
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}
LONG = 120  # seconds after which a command hangs


@contextmanager
def installed(folder: Path) -> Generator[Installation, None, None]:
    """Run a Mission Control that nobody has used yet."""
    installation = Installation(folder / "data", free_port(), LOCAL | {"LOG_LEVEL": "WARNING"})
    yield installation.start()
    installation.stop()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """One for the test alone."""
    with installed(tmp_path) as installation:
        yield installation


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One for tests that leave it as it was."""
    with installed(tmp_path_factory.mktemp("shared")) as installation:
        yield installation


def command(*words: str, data: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Call a command on a data folder, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "bin", *words, "--data", str(data)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONG,
        env={**os.environ, "MC_ENV_FILE": os.devnull, **environment},
    )


def become_owner(installation: Installation) -> httpx2.Client:
    """Use the link, and return the browser of the owner."""
    browser = httpx2.Client(base_url=installation.url, headers=SAME_SITE, timeout=20)
    path, _, link = installation.link.removeprefix(installation.url).partition("?link=")
    assert browser.post(path, data={"link": link, **OWNER}).status_code == 303
    return browser
