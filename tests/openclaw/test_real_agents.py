"""The agents of a real gateway from the first connection to removal: `./run test --gateway`.

They have a scripted model, which makes them run real commands with `curl`.
"""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fake_llm import FakeLlm
from tests.support.gateway_installation import (
    DRAFT,
    QUESTION,
    TIMEOUT,
    GatewayInstallation,
    run_gateway_installation,
)
from tests.support.real_gateway import RealGateway

Row = dict[str, Any]

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateway"
)


@pytest.fixture(scope="module")
def site(
    real_gateway: RealGateway, model: FakeLlm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayInstallation]:
    with run_gateway_installation(real_gateway, model, tmp_path_factory.mktemp("agents")) as site:
        yield site


@pytest.fixture(scope="module")
def worker(site: GatewayInstallation) -> Row:
    """A worker of the board "Paths" that any test may use."""
    [worker] = site.create_agents(site.create_board("Paths"), "Clover")
    return worker


def test_a_gateway_connects_and_its_main_agent_checks_in(site: GatewayInstallation) -> None:
    path = f"/gateways/{site.gateway_id}"
    site.wait_for(path, lambda item: {check["state"] for check in item["checks"]} == {"ok"})
    [main] = site.api.call("GET", f"/agents?gateway_id={site.gateway_id}")["items"]
    main = site.wait_for_agent(main["id"])
    assert main["is_gateway_main"]
    assert f"mc-gateway-{site.gateway_id}" in site.list_gateway_agents()


def test_an_onboarding_creates_a_board_lead(site: GatewayInstallation) -> None:
    board = site.api.create_board("Street garden", gateway_id=site.gateway_id)
    path = f"/boards/{board['id']}/onboarding"
    site.api.call("POST", f"{path}/start")
    conversation = site.wait_for(path, lambda item: item["waiting_for"] == "person")
    assert json.loads(conversation["messages"][-1]["content"])["question"] == QUESTION["question"]
    site.api.call("POST", f"{path}/answer", answer="A garden")
    drafted = site.wait_for(path, lambda item: item["draft_goal"])["draft_goal"]
    goal = {name: drafted[name] for name in ("board_type", "objective", "success_metrics")}
    confirmed = site.api.call("POST", f"{path}/confirm", **goal)
    assert confirmed["goal_confirmed"]
    [lead] = site.api.call("GET", f"/agents?board_id={board['id']}")["items"]
    lead = site.wait_for_agent(lead["id"])
    assert (lead["name"], lead["is_board_lead"]) == ("Fern", True)
    assert f"lead-{board['id']}" in site.list_gateway_agents()
    first_turn = next(turn for turn in site.behavior.turns if turn.agent == f"lead-{board['id']}")
    assert DRAFT["objective"] in first_turn.system


def test_workers_claim_their_tasks_through_the_api(site: GatewayInstallation) -> None:
    board = site.create_board("Beds")
    for worker in site.create_agents(board, "Moss", "Reed"):
        assert "token" not in worker
        task = site.api.call(
            "POST",
            f"/boards/{board['id']}/tasks",
            title=f"Dig with {worker['name']}",
            assigned_agent_id=worker["id"],
        )
        path = f"/boards/{board['id']}/tasks/{task['id']}"
        site.wait_for(path, lambda item: item["status"] == "in_progress")
        messages = site.wait_for(
            f"/agents/{worker['id']}/messages",
            lambda page: all(item["state"] == "acknowledged" for item in page["items"]),
        )
        assert "TASK ASSIGNED" in {item["kind"] for item in messages["items"]}


def test_a_command_waits_for_its_approval(site: GatewayInstallation, worker: Row) -> None:
    key, board_id = f"mc-{worker['id']}", worker["board_id"]
    site.change_config({"agents": {"entries": {key: {"tools": {"exec": {"mode": "ask"}}}}}})
    site.api.call(
        "POST",
        f"/gateways/sessions/agent:{key}:main/message?board_id={board_id}",
        content="run: touch asked-for",
    )
    path = f"/gateway-requests?board_id={board_id}&state=waiting"
    [request] = site.wait_for(path, lambda page: page["items"])["items"]
    assert request["command"] == "touch asked-for"
    path = f"/gateway-requests/{request['id']}/answer"
    site.api.call("POST", path, decision="allow-once", sha256=request["sha256"])
    delivered = site.wait_for(
        f"/gateway-requests/{request['id']}", lambda item: item["delivered_at"]
    )
    assert delivered["state"] == "answered"
    site.wait_for(
        f"/agents/{worker['id']}/runs",
        lambda page: page["items"] and page["items"][0]["status"] == "ended",
    )
    [created_file] = site.workspaces.glob("*/asked-for")
    assert created_file.exists()


def test_history_is_readable_and_files_follow_the_objective(
    site: GatewayInstallation, worker: Row
) -> None:
    key, board_id = f"agent:mc-{worker['id']}:main", worker["board_id"]
    path = f"/gateways/sessions/{key}/history?board_id={board_id}"
    history = site.api.call("GET", path)["history"]
    assert {item["role"] for item in history} >= {"user", "assistant", "toolResult"}
    sync = f"/gateways/{site.gateway_id}/templates/sync"
    preview = site.api.call("POST", f"{sync}?dry_run=true&include_main=false&board_id={board_id}")
    states = {file["state"] for item in preview["agents"] for file in item["files"]}
    assert states == {"same"}
    site.api.call("PATCH", f"/boards/{board_id}", objective="Paths of gravel, not of mud")
    site.wait_for_agent(worker["id"])
    file = site.call_gateway(
        "agents.files.get", {"agentId": f"mc-{worker['id']}", "name": "AGENTS.md"}
    )
    assert "Paths of gravel, not of mud" in file["file"]["content"]


def test_a_deleted_agent_is_removed_from_the_gateway(site: GatewayInstallation) -> None:
    board = site.create_board("Autumn")
    leaf, twig = site.create_agents(board, "Leaf", "Twig")
    site.api.call("DELETE", f"/agents/{leaf['id']}")
    path = f"/agents?board_id={board['id']}"
    site.wait_for(path, lambda page: [item["name"] for item in page["items"]] == ["Twig"])
    assert f"mc-{leaf['id']}" not in site.list_gateway_agents()
    site.api.call("DELETE", f"/boards/{board['id']}")
    deadline = time.monotonic() + TIMEOUT
    while f"mc-{twig['id']}" in site.list_gateway_agents():
        assert time.monotonic() < deadline, "the agents of a deleted board stay on the gateway"
