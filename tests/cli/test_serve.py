"""./run: start, printed addresses, shared database and stop."""

import asyncio
import logging
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
from sse_starlette.sse import AppStatus
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from cli.server_process import run_uvicorn
from tests.cli.conftest import ROOT, TIMEOUT, run_cli, sign_up_owner
from tests.support.installation import (
    LOCAL_AUTH,
    Installation,
    find_free_port,
    run_separate_worker,
)
from tests.support.tiers import repetition


def get_status(address: str) -> int:
    return httpx2.get(address, timeout=20).status_code


def open_link(link: str) -> int:
    """Open a one-time link as a browser does, and return the status of its page."""
    path, _, secret = link.partition("#")
    with httpx2.Client(timeout=20, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        client.post(f"{path}/openings", data={"link": secret})
        return client.get(path).status_code


async def test_a_request_that_is_cancelled_at_the_end_is_not_logged_as_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An overloaded server has more than a thousand of them."""
    monkeypatch.setattr("cli.server_process.RESPONSE_TIME", 0.01)
    monkeypatch.setattr("core.garbage.FullCollections.start", lambda _: None)
    monkeypatch.setattr(AppStatus, "should_exit", False)  # the server that stops sets it
    stop, clients = asyncio.Event(), list[asyncio.Task[None]]()

    async def wait(request: Request) -> None:
        stop.set()
        await asyncio.Event().wait()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(*server_socket.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: mission.test\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async def start_asking() -> None:
        clients.append(asyncio.create_task(ask()))

    server_socket = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/", wait)])
    with caplog.at_level(logging.INFO, logger="uvicorn.error"):
        async with asyncio.timeout(TIMEOUT):
            await run_uvicorn(app, server_socket, stop, start_asking)
            await asyncio.gather(*clients)
    assert "Cancel 1 running task(s)" in caplog.text
    assert [one.getMessage() for one in caplog.records if one.exc_info] == []


def test_it_prints_its_address_and_the_first_run_link(shared_installation: Installation) -> None:
    """W-55."""
    assert shared_installation.link.startswith(f"{shared_installation.url}/first-run#")
    assert get_status(f"{shared_installation.url}/healthz") == 200
    assert get_status(f"{shared_installation.url}/readyz") == 200
    assert get_status(f"{shared_installation.url}/sign-in") == 200


def test_a_new_link_invalidates_the_old_one(shared_installation: Installation) -> None:
    older, newer = (
        run_cli("link", data=shared_installation.data_dir).stdout.splitlines()[-1] for _ in range(2)
    )
    assert newer.startswith(f"{shared_installation.url}/first-run#")
    assert open_link(older) == 410
    assert open_link(newer) == 200


@repetition
def test_a_crashed_database_is_restarted(shared_installation: Installation) -> None:
    """See tests/embedded_postgres/test_instance.py and tests/durability/test_crashes.py."""
    shared_installation.kill_database()
    deadline = time.monotonic() + TIMEOUT
    while get_status(f"{shared_installation.url}/readyz") != 503:
        assert time.monotonic() < deadline
    while get_status(f"{shared_installation.url}/readyz") != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_there_is_no_first_run_link_once_there_is_an_owner(installation: Installation) -> None:
    sign_up_owner(installation).close()
    installation.stop()
    assert installation.start().link == ""
    result = run_cli("link", data=installation.data_dir)
    assert result.returncode == 1
    assert re.fullmatch(r"There is an owner already[^\n]+\n", result.stderr)


@repetition
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_signal_ends_it_despite_open_streams(
    installation: Installation, number: signal.Signals
) -> None:
    """See tests/cli/test_workers.py for streams, and SIGTERM below."""
    browser = sign_up_owner(installation)
    stream_opened = threading.Event()

    def follow() -> None:
        with browser.stream("GET", "/events?after=0", timeout=TIMEOUT) as stream:
            stream_opened.set()
            for _ in stream.iter_bytes():
                pass

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    assert stream_opened.wait(TIMEOUT)
    process = installation.process
    assert process is not None
    process.send_signal(number)
    assert process.wait(TIMEOUT) == 0
    follower.join(TIMEOUT)
    assert not follower.is_alive()
    assert not installation.database().accepts_connections()
    assert "Traceback" not in installation.log
    browser.close()


def test_it_outlives_the_terminal_if_nohup_starts_it(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data", find_free_port(), LOCAL_AUTH, with_nohup=True)
    process = installation.start().process
    assert process is not None
    process.send_signal(signal.SIGHUP)
    for _ in range(50):  # a server that is stopping closes its port meanwhile
        assert get_status(f"{installation.url}/readyz") == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0
    installation.stop()


IMPORTS_IN_LOOP = """
import asyncio, runpy, sys

def report(event, arguments):
    if event == "import" and asyncio._get_running_loop():
        print("imported in the event loop:", arguments[0])

sys.addaudithook(report)
runpy.run_module("cli", run_name="__main__")
"""


@pytest.mark.parametrize(
    "command", [("serve", "--port", "0"), pytest.param(("worker",), marks=repetition)]
)
def test_a_start_imports_nothing_in_the_event_loop(
    shared_installation: Installation, command: tuple[str, ...]
) -> None:
    """In a new process, in which nothing is imported yet. An import would hold the loop."""
    data, url = str(shared_installation.data_dir), shared_installation.url
    settings = {"MC_ENV_FILE": os.devnull, "DATA_DIR": data, "BASE_URL": url}
    words = [sys.executable, "-u", "-c", IMPORTS_IN_LOOP, *command]
    with subprocess.Popen(
        words, cwd=ROOT, env=os.environ | settings, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C stops" in line:
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert any("Ctrl-C stops" in line for line in lines), lines
    assert [line for line in lines if line.startswith("imported in the event loop")] == []


def test_a_separate_worker_shares_the_database_and_keeps_it_running(
    installation: Installation,
) -> None:
    with run_separate_worker(installation) as worker:
        installation.stop()
        assert installation.database().accepts_connections()
        worker.send_signal(signal.SIGINT)
        assert worker.wait(TIMEOUT) == 0
    assert not installation.database().accepts_connections()


def test_a_port_in_use_gives_one_sentence_and_changes_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other_socket:
        port = other_socket.getsockname()[1]
        result = run_cli("serve", "--port", str(port), data=tmp_path / "data")
    assert result.returncode == 1
    assert re.fullmatch(rf"Port {port} is in use[^\n]+\n", result.stderr)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("serve", "PORT", "many"),
        ("serve", "HOST", "203.0.113.7"),
        ("serve", "DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:9/nothing"),
        ("serve", "MC_PG_BIN", "/nowhere"),
        ("worker", "AUTH_MODE", "clerk"),
    ],
)
def test_an_invalid_setting_gives_one_sentence_that_names_it(
    tmp_path: Path, command: str, name: str, value: str
) -> None:
    result = run_cli(command, data=tmp_path / "data", **({"PORT": "0"} | {name: value}))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert name in result.stderr
    assert "hunter2" not in result.stderr
