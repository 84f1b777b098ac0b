"""./run: it starts, says where it is, shares its database, and ends when it is told to."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest

from tests.commands.conftest import LONG, ROOT, become_owner, command
from tests.installation import Installation


def status(address: str) -> int:
    return httpx2.get(address, timeout=20).status_code


def test_it_says_where_it_is_and_how_the_first_owner_comes_in(shared: Installation) -> None:
    """W-55."""
    assert shared.link.startswith(f"{shared.url}/first-run?link=")
    assert status(f"{shared.url}/healthz") == 200
    assert status(f"{shared.url}/readyz") == 200
    assert status(f"{shared.url}/sign-in") == 200


def test_a_new_link_ends_the_old_one(shared: Installation) -> None:
    older, newer = (
        command("link", "--port", str(shared.port), data=shared.data).stdout.splitlines()[-1]
        for _ in range(2)
    )
    assert status(older) != 200
    assert status(newer) == 200


def test_a_database_that_dies_is_brought_back(shared: Installation) -> None:
    shared.kill_database()
    deadline = time.monotonic() + LONG
    while status(f"{shared.url}/readyz") != 503:
        assert time.monotonic() < deadline
    while status(f"{shared.url}/readyz") != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_there_is_no_link_any_more_once_there_is_an_owner(installation: Installation) -> None:
    become_owner(installation).close()
    installation.stop()
    assert installation.start().link == ""
    refused = command("link", data=installation.data)
    assert refused.returncode == 1
    assert re.fullmatch(r"There is an owner already[^\n]+\n", refused.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_when_it_is_told_to_though_streams_are_open(
    installation: Installation, number: signal.Signals
) -> None:
    browser = become_owner(installation)
    opened = threading.Event()

    def follow() -> None:
        with browser.stream("GET", "/events?after=0", timeout=LONG) as stream:
            opened.set()
            for _ in stream.iter_bytes():
                pass

    following = threading.Thread(target=follow, daemon=True)
    following.start()
    assert opened.wait(LONG)
    process = installation.process
    assert process is not None
    process.send_signal(number)
    assert process.wait(LONG) == 0
    following.join(LONG)
    assert not following.is_alive()
    assert not installation.database().answers()
    assert "Traceback" not in installation.log
    browser.close()


def test_a_worker_of_its_own_shares_the_database_and_outlives_the_server(
    installation: Installation,
) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "bin", "worker", "--data", str(installation.data)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "MC_ENV_FILE": os.devnull, "PYTHONUNBUFFERED": "1"},
    )
    assert worker.stdout is not None
    assert any("worker is ready" in line for line in worker.stdout)
    installation.stop()
    assert installation.database().answers()
    worker.send_signal(signal.SIGINT)
    assert worker.wait(LONG) == 0
    worker.stdout.close()
    assert not installation.database().answers()


def test_a_port_that_is_taken_gives_one_sentence_and_touches_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = command("serve", "--port", str(port), data=tmp_path / "data")
    assert refused.returncode == 1
    assert re.fullmatch(rf"Port {port} is taken[^\n]+\n", refused.stderr)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("what", "name", "value"),
    [
        ("serve", "PORT", "many"),
        ("serve", "HOST", "203.0.113.7"),
        ("serve", "DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:9/nothing"),
        ("serve", "MC_PG_BIN", "/nowhere"),
        ("worker", "AUTH_MODE", "clerk"),
    ],
)
def test_a_bad_setting_gives_one_sentence_that_names_it(
    tmp_path: Path, what: str, name: str, value: str
) -> None:
    refused = command(what, data=tmp_path / "data", **({"PORT": "0"} | {name: value}))
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert name in refused.stderr
    assert "hunter2" not in refused.stderr
