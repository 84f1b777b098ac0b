"""Restarts and crashes while agents of a real gateway work: `./run test --gateway`."""

import os
import time
from collections.abc import Iterator

import pytest

from tests.support.fake_llm import FakeLlm
from tests.support.gateway_installation import (
    TIMEOUT,
    GatewayInstallation,
    run_gateway_installation,
)
from tests.support.real_gateway import RealGateway

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateway"
)


@pytest.fixture(scope="module")
def site(
    real_gateway: RealGateway, model: FakeLlm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayInstallation]:
    with run_gateway_installation(real_gateway, model, tmp_path_factory.mktemp("crashes")) as site:
        yield site


def test_a_gateway_restart_loses_no_message(site: GatewayInstallation) -> None:
    board = site.create_board("Storm")
    [worker] = site.create_agents(board, "Rush")
    site.call_gateway("gateway.restart.request", {})
    task = site.api.call(
        "POST",
        f"/boards/{board['id']}/tasks",
        title="Survive",
        assigned_agent_id=worker["id"],
    )
    created = site.api.call("POST", "/agents", name="Heath", board_id=board["id"])
    path = f"/boards/{board['id']}/tasks/{task['id']}"
    site.wait_for(path, lambda item: item["status"] == "in_progress", within=180)
    site.wait_for_agent(created["id"])
    turns = [turn for turn in site.behavior.turns if task["id"] in turn.message]
    assert len(turns) == 1


def test_a_crash_during_provisioning_leaves_one_agent(site: GatewayInstallation) -> None:
    board = site.create_board("Thunder")
    created = site.api.call("POST", "/agents", name="Bolt", board_id=board["id"])
    key = f"mc-{created['id']}"
    deadline = time.monotonic() + TIMEOUT
    while key not in site.list_gateway_agents():
        assert time.monotonic() < deadline
    site.installation.kill()
    site.installation.start()
    site.wait_for_agent(created["id"])
    assert site.list_gateway_agents().count(key) == 1
    named = [
        item
        for item in site.call_gateway("agents.list", {})["agents"]
        if item.get("name") == "Bolt"
    ]
    assert len(named) == 1
