"""./run --workers: several processes at one port, which a supervisor starts, replaces and stops."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import httpx2
import pytest

from cli.supervisor import MAX_RESTART_DELAY, ServerProcess, Supervisor
from tests.cli.conftest import ROOT, TIMEOUT
from tests.support.installation import LOCAL_AUTH, LOCAL_TOKEN, ApiClient, Installation
from tests.support.installation import find_free_port as find_port
from tests.support.tiers import repetition

WORKERS = 2
REFUSING_PROCESS = """
import sys
from cli.command import CommandError, run_command
from cli.supervisor import Supervisor

def refuse(channel):
    raise CommandError("There is no space.")

supervisor = Supervisor(3, run_process=refuse, on_ready=lambda: print("ready"))
sys.exit(run_command(supervisor.run))
"""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose processes run before and after each test."""
    environment = LOCAL_AUTH | {"WORKERS": str(WORKERS), "LOG_LEVEL": "WARNING"}
    installation = Installation(
        tmp_path_factory.mktemp("workers") / "data", find_port(), environment
    )
    yield installation.start()
    installation.stop()


def list_processes(installation: Installation) -> set[int]:
    """Return the ids of the processes that serve."""
    assert installation.process is not None
    pid = installation.process.pid
    return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def count_shared_metrics(installation: Installation) -> int:
    """Return how many processes add their metrics."""
    text = httpx2.get(f"{installation.url}/metrics", timeout=20).text
    return sum(
        int(float(one)) for one in re.findall(r"^mission_control_info\{.*\} (\S+)$", text, re.M)
    )


def open_stream(stack: ExitStack, api: ApiClient, board_id: str) -> Iterator[str]:
    """Return the lines of a stream of tasks that is open."""
    client = stack.enter_context(
        httpx2.Client(base_url=api.client.base_url, headers=api.client.headers, timeout=TIMEOUT)
    )
    response = stack.enter_context(client.stream("GET", f"/boards/{board_id}/tasks/stream"))
    assert response.status_code == 200
    return response.iter_lines()


def test_all_processes_serve_and_a_stop_signal_ends_them(installation: Installation) -> None:
    processes = list_processes(installation)
    assert len(processes) == WORKERS
    with ExitStack() as stack:
        api = stack.enter_context(ApiClient(installation.url, LOCAL_TOKEN))
        board = api.create_board()
        streams = [open_stream(stack, api, board["id"]) for _ in range(20)]
        wait_until(lambda: count_shared_metrics(installation) == WORKERS)
        api.call("POST", f"/boards/{board['id']}/tasks", title="Everywhere")
        assert all(any("Everywhere" in line for line in stream) for stream in streams)
        supervisor = installation.process
        assert supervisor is not None
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(TIMEOUT) == 0
    assert all(map(has_ended, processes))
    assert not installation.database().accepts_connections()
    assert "Traceback" not in installation.log
    installation.stop()
    installation.start()


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=repetition)])
def test_a_dead_or_frozen_process_is_replaced(
    installation: Installation, number: signal.Signals
) -> None:
    """The supervisor kills a frozen one, so that its clients connect to another one."""
    first = list_processes(installation)
    victim = min(first)
    os.kill(victim, number)
    wait_until(lambda: has_ended(victim))
    wait_until(lambda: len(list_processes(installation) - {victim}) == WORKERS)
    assert first - {victim} <= list_processes(installation)
    wait_until(lambda: count_shared_metrics(installation) == WORKERS)
    assert f"The process {victim} has ended with signal 9" in installation.log


def test_the_processes_end_with_a_killed_supervisor(installation: Installation) -> None:
    processes = list_processes(installation)
    installation.kill()
    wait_until(lambda: all(map(has_ended, processes)))
    installation.start()


def test_the_supervisor_has_no_threads_although_the_processes_send_traces(tmp_path: Path) -> None:
    """A fork would copy the locks that they hold."""
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    environment = LOCAL_AUTH | {"WORKERS": str(WORKERS)} | traces
    installation = Installation(tmp_path / "data", find_port(), environment).start()
    try:
        assert installation.process is not None
        assert len(os.listdir(f"/proc/{installation.process.pid}/task")) == 1
    finally:
        installation.stop()


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor(1, run_process=lambda _: 0, on_ready=lambda: None)
    with supervisor._woken, supervisor._wake:
        yield supervisor


def test_processes_that_always_end_are_started_with_a_limited_delay(supervisor) -> None:
    """A float overflows after some hours of delays that double."""
    supervisor._is_started, supervisor._short_lives = True, 5_000
    supervisor._handle_end(ServerProcess(1, supervisor._wake), -signal.SIGKILL)
    [start] = supervisor._start_times
    assert MAX_RESTART_DELAY - 1 < start - time.monotonic() <= MAX_RESTART_DELAY


def test_a_process_is_started_later_if_the_system_has_no_space(supervisor, monkeypatch) -> None:
    """What serves must not end because a fork has failed."""
    supervisor._start_times = [0.0]
    monkeypatch.setattr(os, "fork", raise_out_of_memory)
    supervisor._start_missing()
    [start] = supervisor._start_times
    assert start > time.monotonic()
    assert not supervisor._processes


def raise_out_of_memory() -> NoReturn:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def test_a_process_that_cannot_start_ends_the_start_with_its_reason() -> None:
    """Only one is started, so the reason is printed once."""
    done = subprocess.run(
        [sys.executable, "-c", REFUSING_PROCESS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    reasons = "There is no space.\nA process could not start: it ended with status 1.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", reasons)
