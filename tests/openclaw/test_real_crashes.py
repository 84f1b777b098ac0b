"""Restarts and crashes while agents of a real gateway work: `./run test --gateway`."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.support.fake_llm import FakeLlm
from tests.support.gateway_installation import (
    TIMEOUT,
    GatewayInstallation,
    run_gateway_installation,
)
from tests.support.gateway_proxy import GatewayProxy, run_gateway_proxy
from tests.support.real_gateway import RealGateway

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateway"
)


@pytest.fixture(scope="module")
def proxy(real_gateway: RealGateway) -> Iterator[GatewayProxy]:
    with run_gateway_proxy(real_gateway.url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def site(
    real_gateway: RealGateway,
    proxy: GatewayProxy,
    model: FakeLlm,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GatewayInstallation]:
    gateway = replace(real_gateway, port=proxy.port)
    with run_gateway_installation(gateway, model, tmp_path_factory.mktemp("crashes")) as site:
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


@pytest.mark.parametrize("moment", ["received", "written"])
def test_a_gateway_killed_while_it_creates_an_agent_gets_all(
    site: GatewayInstallation, real_gateway: RealGateway, proxy: GatewayProxy, moment: str
) -> None:
    board = site.create_board(f"Hail {moment}")
    config = real_gateway.state_dir / "openclaw" / "openclaw.json"
    killed = threading.Event()

    def kill(method: str, params: dict[str, Any]) -> None:
        if method == "agents.create" and not killed.is_set():
            deadline = time.monotonic() + TIMEOUT
            while moment == "written" and params["name"] not in config.read_text():
                assert time.monotonic() < deadline
            real_gateway.kill()
            killed.set()

    proxy.after_call = kill
    first = site.api.call("POST", "/agents", name="Sleet", board_id=board["id"])
    assert killed.wait(TIMEOUT)
    second = site.api.call("POST", "/agents", name="Squall", board_id=board["id"])
    real_gateway.start()
    for agent in (first, second):
        path = f"/agents/{agent['id']}"
        site.wait_for(path, lambda one: one["status"] == "online", within=2 * TIMEOUT)
    listed = site.list_gateway_agents()
    assert [listed.count(f"mc-{agent['id']}") for agent in (first, second)] == [1, 1]
