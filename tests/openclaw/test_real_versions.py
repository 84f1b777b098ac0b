"""The full path of agents with one version of a real gateway: `./run test --gateways all`.

`--gateway` runs it with the newest version. The fake gateway rejects what this version rejects.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import openclaw
from core.security.secrets import hash_token
from openclaw import (
    DeviceIdentity,
    GatewayClient,
    GatewayError,
    GatewayTarget,
    RetryPolicy,
    request_api,
)
from openclaw import api as gateway_api
from openclaw.capabilities import CAPABILITY_RULES, Capability
from openclaw.method_names import METHODS
from tests.support.fake_llm import FakeLlm
from tests.support.gateway_installation import (
    TIMEOUT,
    GatewayInstallation,
    run_gateway_installation,
)
from tests.support.older_gateways import MISSING
from tests.support.real_gateway import VERSION, RealGateway

Row = dict[str, Any]

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateways"
)


@pytest.fixture(scope="module")
def site(
    real_gateway: RealGateway, model: FakeLlm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayInstallation]:
    with run_gateway_installation(real_gateway, model, tmp_path_factory.mktemp("path")) as site:
        yield site


@pytest.fixture(scope="module")
def board(site: GatewayInstallation) -> Row:
    return site.create_board("Harbour")


@pytest.fixture(scope="module")
def worker(site: GatewayInstallation, board: Row) -> Row:
    [worker] = site.create_agents(board, "Tern")
    return worker


OPENCLAW = Path(openclaw.__file__).parent
METHOD = re.compile(r'"([a-z]+(?:\.[a-zA-Z]+)+)"')


async def test_it_announces_the_methods_that_are_called(real_gateway: RealGateway) -> None:
    sources = [file.read_text() for file in OPENCLAW.glob("*.py") if file.stem != "method_names"]
    called = {name for source in sources for name in METHOD.findall(source)} & {*METHODS}
    assert {"plugin.approval.resolve", "skills.status", "chat.abort"} <= called
    target = GatewayTarget(real_gateway.url, real_gateway.token, DeviceIdentity.generate())
    async with GatewayClient(target, retry_policy=RetryPolicy(total_timeout=120)) as client:
        announced = (await client.get_hello()).methods
        missing = client.capabilities.missing
    optional = set().union(*(CAPABILITY_RULES[one].methods for one in missing))
    if Capability.QUESTIONS in missing:
        optional.add("question.waitAnswer")  # of an answered question
    assert called - announced <= optional


async def test_it_lacks_what_the_fake_gateway_of_its_version_lacks(
    real_gateway: RealGateway,
) -> None:
    target = GatewayTarget(real_gateway.url, real_gateway.token, DeviceIdentity.generate())
    policy = RetryPolicy(total_timeout=120)
    async with GatewayClient(target, retry_policy=policy) as client:
        await client.get_hello()
        await gateway_api.list_sessions(client, active_only=True)
        for call in (
            gateway_api.write_agent_file(
                client, "nobody", "SOUL.md", "", expected_hash=hash_token("")
            ),
            request_api.resolve_question(
                client, "none", answers={"a": ["b"]}, resolved_by="Ann", resolution_id="r"
            ),
        ):
            with pytest.raises(GatewayError):
                await call
        if VERSION in MISSING:
            assert client.capabilities.missing == MISSING[VERSION]


def test_it_connects_and_its_main_agent_checks_in(site: GatewayInstallation) -> None:
    path = f"/gateways/{site.gateway_id}"
    found = site.wait_for(path, lambda item: {check["state"] for check in item["checks"]} == {"ok"})
    assert found["checks"][-1]["name"] == "agents"
    [main] = site.api.call("GET", f"/agents?gateway_id={site.gateway_id}")["items"]
    assert site.wait_for_agent(main["id"])["is_gateway_main"]


def test_a_lead_and_a_worker_check_in(site: GatewayInstallation, board: Row, worker: Row) -> None:
    onboarding = f"/boards/{board['id']}/onboarding"
    site.api.call("POST", f"{onboarding}/start")
    site.wait_for(onboarding, lambda item: item["waiting_for"] == "person")
    site.api.call("POST", f"{onboarding}/answer", answer="A harbour")
    drafted = site.wait_for(onboarding, lambda item: item["draft_goal"])["draft_goal"]
    goal = {name: drafted[name] for name in ("board_type", "objective", "success_metrics")}
    site.api.call("POST", f"{onboarding}/confirm", **goal)
    agents = site.api.call("GET", f"/agents?board_id={board['id']}")["items"]
    [lead] = [agent for agent in agents if agent["is_board_lead"]]
    site.wait_for_agent(lead["id"])
    listed = site.list_gateway_agents()
    assert {f"lead-{board['id']}", f"mc-{worker['id']}"} <= set(listed)


def test_a_worker_claims_its_task(site: GatewayInstallation, board: Row, worker: Row) -> None:
    path = f"/boards/{board['id']}/tasks"
    task = site.api.call("POST", path, title="Paint", assigned_agent_id=worker["id"])
    site.wait_for(f"{path}/{task['id']}", lambda item: item["status"] == "in_progress")
    site.wait_for(
        f"/agents/{worker['id']}/messages",
        lambda page: all(item["state"] == "acknowledged" for item in page["items"]),
    )


def test_a_message_starts_a_run_that_is_shown(
    site: GatewayInstallation, board: Row, worker: Row
) -> None:
    key, query = f"agent:mc-{worker['id']}:main", f"board_id={board['id']}"
    sessions = f"/gateways/sessions/{key}"
    site.api.call("POST", f"{sessions}/message?{query}", content="run: sleep 3; touch reached")
    runs = f"/agents/{worker['id']}/runs"
    site.wait_for(runs, lambda page: page["items"] and page["items"][0]["status"] == "running")
    site.wait_for(runs, lambda page: page["items"][0]["status"] == "ended")
    assert list(site.workspaces.glob("*/reached"))
    listed = site.api.call("GET", f"/gateways/sessions?{query}")["sessions"]
    assert key in {session["key"] for session in listed}
    history = site.api.call("GET", f"{sessions}/history?{query}")["history"]
    assert {item["role"] for item in history} >= {"user", "assistant"}


def test_a_sync_finds_no_differences(site: GatewayInstallation, board: Row) -> None:
    path = f"/gateways/{site.gateway_id}/templates/sync?dry_run=true&board_id={board['id']}"
    preview = site.api.call("POST", path)
    states = {file["state"] for agent in preview["agents"] for file in agent["files"]}
    assert (states, preview["errors"]) == ({"same"}, [])


def test_changed_data_reaches_the_files(site: GatewayInstallation, board: Row, worker: Row) -> None:
    site.api.call("PATCH", f"/boards/{board['id']}", objective="Boats of oak, not of steel")
    site.wait_for_agent(worker["id"])
    params = {"agentId": f"mc-{worker['id']}", "name": "AGENTS.md"}
    file = site.call_gateway("agents.files.get", params)["file"]
    assert "Boats of oak, not of steel" in file["content"]


def test_a_heartbeat_without_work_uses_no_model_turn(site: GatewayInstallation, board: Row) -> None:
    [agent] = site.create_agents(board, "Hush", heartbeat_config={"every": "3s"})
    before = site.wait_until_idle(agent["id"])
    time.sleep(10)  # three heartbeats
    assert site.list_model_calls(agent["id"]) == before


def test_a_deleted_agent_is_removed(site: GatewayInstallation, worker: Row) -> None:
    site.api.call("DELETE", f"/agents/{worker['id']}")
    deadline = time.monotonic() + TIMEOUT
    while f"mc-{worker['id']}" in site.list_gateway_agents():
        assert time.monotonic() < deadline, "a deleted agent stays on the gateway"
        time.sleep(0.5)
