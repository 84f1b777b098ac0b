"""The examples for nginx and Caddy: the real programs in front of a real server, with TLS."""

import os
import subprocess
from collections.abc import Iterator

import httpx2
import pytest

from tests.deploy.conftest import sign_up_owner
from tests.support.installation import LOCAL_TOKEN, ApiClient
from tests.support.proxied_server import (
    CLIENT,
    STARTERS,
    ProxiedServer,
    find_program,
    run_behind,
)
from tests.support.tiers import repetition

EVENT_TIMEOUT = 10  # seconds; less than the 15 until a comment is sent
SILENCE, WAIT = 5, 7  # seconds of a silent response
CALL = {
    "hook_event_name": "PreToolUse",
    "session_id": "session-1",
    "cwd": "/home/dev/project",
    "tool_name": "Bash",
    "tool_input": {"command": "git push"},
}

pytestmark = repetition


@pytest.fixture(scope="module", params=STARTERS)
def proxied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxiedServer]:
    """A server behind each of the proxies."""
    with run_behind(request.param, tmp_path_factory.mktemp(request.param), SILENCE) as proxied:
        yield proxied


@pytest.fixture(scope="module")
def owner(proxied: ProxiedServer) -> Iterator[httpx2.Client]:
    """The browser of the owner, who has signed up through the proxy."""
    with proxied.open_client() as browser:
        response = sign_up_owner(browser, proxied.server.link)
        assert "__Host-" in response.headers["Set-Cookie"]
        assert "Secure" in response.headers["Set-Cookie"]
        yield browser


@pytest.fixture(scope="module")
def api(proxied: ProxiedServer, owner: httpx2.Client) -> Iterator[ApiClient]:
    """A client of the API that needs no proxy."""
    with ApiClient(proxied.server.url, LOCAL_TOKEN) as client:
        yield client


def test_people_sign_in_through_a_proxy(proxied: ProxiedServer, owner: httpx2.Client) -> None:
    page = owner.get("/settings").text
    assert f"{CLIENT} ·" in page
    assert "198.51.100" not in page
    assert owner.get("/boards").status_code == 200
    assert "is not trusted" not in proxied.server.log


def test_a_proxy_offers_http_2(proxied: ProxiedServer) -> None:
    words = ("--cacert", proxied.ca_file, "--output", os.devnull, "--write-out", "%{http_version}")
    program = find_program("curl")
    done = subprocess.run(
        [program, "-sS", *words, f"{proxied.url}/sign-in"], capture_output=True, check=True
    )
    assert done.stdout == b"2"


def test_limits_behind_a_proxy_are_those_of_the_product(
    proxied: ProxiedServer, owner: httpx2.Client
) -> None:
    token = {"Authorization": f"Bearer {LOCAL_TOKEN}"}
    sent = owner.post("/api/v1/boards", content=b" " * 3_000_000, headers=token)
    assert (sent.status_code, sent.json()["code"]) == (413, "body_too_large")
    assert owner.get("/healthz", headers={"X-Long": "x" * 30_000}).status_code == 200
    assert owner.get(f"/healthz?{'x' * 30_000}").status_code == 200
    assert owner.get("/metrics").status_code == 404  # without a token only for direct requests


def test_an_event_passes_a_proxy_at_once(proxied: ProxiedServer, api: ApiClient) -> None:
    board = api.create_board()["id"]
    token = {"Authorization": f"Bearer {LOCAL_TOKEN}"}
    with (
        proxied.open_client(**token) as client,
        client.stream(
            "GET", f"/api/v1/boards/{board}/tasks/stream", timeout=EVENT_TIMEOUT
        ) as stream,
    ):
        assert stream.status_code == 200
        api.call("POST", f"/boards/{board}/tasks", title="Sail")
        assert any("Sail" in line for line in stream.iter_lines())


def test_a_hook_may_wait_longer_than_other_requests(proxied: ProxiedServer, api: ApiClient) -> None:
    agent = api.call("POST", "/agents", name="Juniper", board_id=api.create_board("Ship")["id"])
    token = {"Authorization": f"Bearer {agent['token']}"}
    with proxied.open_client(**token) as client:
        answer = client.post(f"/hooks/claude?wait={WAIT}", json=CALL)
    assert answer.status_code == 200, answer.text
    output = answer.json()["hookSpecificOutput"]
    assert output["permissionDecision"] == "deny"
    assert "wait" in output["permissionDecisionReason"]
