"""A kill of the app while a client waits: its next identical call gets the decision."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.installation import (
    LOCAL_AUTH,
    LOCAL_TOKEN,
    ApiClient,
    Installation,
    find_free_port,
)
from tests.support.tool_calls import hook_body

TIMEOUT = 30  # seconds


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(
        tmp_path / "data", find_free_port(), LOCAL_AUTH | {"LOG_LEVEL": "WARNING"}
    )
    yield installation.start()
    installation.stop()


def ask(installation: Installation, token: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    response = httpx2.post(
        f"{installation.url}/hooks/claude?wait={TIMEOUT}",
        json=hook_body(),
        headers=headers,
        timeout=2 * TIMEOUT,
    )
    assert response.status_code == 200, response.text
    return response.json()["hookSpecificOutput"]


def test_a_held_call_is_not_lost_by_kill_9(installation: Installation) -> None:
    errors: list[Exception] = []

    def ask_until_killed() -> None:
        try:
            ask(installation, token)
        except httpx2.HTTPError as error:
            errors.append(error)

    with ApiClient(installation.url, LOCAL_TOKEN) as api:
        board = api.create_board()
        agent: Any = {"name": "Wren", "board_id": board["id"]}
        token = api.call("POST", "/agents", **agent)["token"]
        client = threading.Thread(target=ask_until_killed)
        client.start()
        path = f"/boards/{board['id']}/approvals"
        deadline = threading.Event()
        while not (found := api.call("GET", path)["items"]):
            deadline.wait(0.1)
    installation.kill()
    client.join(TIMEOUT)
    assert len(errors) == 1
    installation.start()
    with ApiClient(installation.url, LOCAL_TOKEN) as api:
        decided = api.client.patch(f"{path}/{found[0]['id']}", json={"status": "approved"})
        assert decided.status_code == 200
        deadline.wait(1.1)  # within a second, the server could still answer the held call
        assert ask(installation, token)["permissionDecision"] == "allow"
        assert [one["request_count"] for one in api.call("GET", path)["items"]] == [1]
