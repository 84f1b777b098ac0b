"""Limits of callers hold for two servers, also after one was killed."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from core.shared_limiters import LEASE
from tests.support.installation import LOCAL_AUTH, LOCAL_TOKEN, Installation, find_free_port
from tests.support.tiers import repetition

STREAMS, REQUESTS = 10, 100
RECOVERY_TIMEOUT = LEASE + 20  # seconds


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Installation]]:
    limits = {"RATE_LIMIT_STREAMS": str(STREAMS), "RATE_LIMIT_REQUESTS": str(REQUESTS)}
    environment = {**LOCAL_AUTH, **limits, "RATE_LIMIT_REQUESTS_SECONDS": "3600"}
    servers = [Installation(tmp_path / "data", find_free_port(), environment) for _ in range(2)]
    yield [server.start() for server in servers]
    for server in reversed(servers):
        server.stop()


def open_stream(stack: ExitStack, client: httpx2.Client) -> int:
    """Open a stream that stays open, and return the status of the response."""
    return stack.enter_context(client.stream("GET", "/activity/task-comments/stream")).status_code


def open_client(stack: ExitStack, server: Installation, sent: list[object]) -> httpx2.Client:
    client = httpx2.Client(
        base_url=f"{server.url}/api/v1",
        headers={"Authorization": f"Bearer {LOCAL_TOKEN}"},
        event_hooks={"request": [sent.append]},
        timeout=30,
    )
    return stack.enter_context(client)


@repetition
def test_limits_hold_for_two_servers_and_end_with_a_killed_one(servers) -> None:
    sent: list[object] = []
    with ExitStack() as stack:
        first, second = (open_client(stack, server, sent) for server in servers)
        assert [open_stream(stack, first) for _ in range(6)] == [200] * 6
        assert [open_stream(stack, second) for _ in range(5)] == [200] * 4 + [429]
        servers[0].kill()
        deadline = time.monotonic() + RECOVERY_TIMEOUT
        while (status := open_stream(stack, second)) == 429 and time.monotonic() < deadline:
            time.sleep(1)
        assert status == 200
        assert [open_stream(stack, second) for _ in range(6)] == [200] * 5 + [429]
        servers[0].start()
        first = open_client(stack, servers[0], sent)
        while first.get("/boards").status_code == second.get("/boards").status_code == 200:
            pass
    assert REQUESTS - 10 <= len(sent) <= REQUESTS + 10
