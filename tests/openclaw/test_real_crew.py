"""A crew on a real gateway, from the first connection to the last goodbye: `./run test --gateway`.

Its agents have a scripted model, so they do what a good agent does: they really run `curl`.
"""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.openclaw.crew import DRAFT, PATIENCE, QUESTION, House, moved_in
from tests.openclaw.real import Real
from tests.openclaw.scripted import Model

Row = dict[str, Any]

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="a real gateway is asked for with --gateway"
)


@pytest.fixture(scope="module")
def house(
    real_gateway: Real, model: Model, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    with moved_in(real_gateway, model, tmp_path_factory.mktemp("crew")) as house:
        yield house


@pytest.fixture(scope="module")
def clover(house: House) -> Row:
    """A worker of the board "Paths", to whom any test may say something."""
    [clover] = house.agents(house.board("Paths"), "Clover")
    return clover


def test_a_gateway_is_connected_and_its_agent_checks_in(house: House) -> None:
    path = f"/gateways/{house.gateway_id}"
    house.until(path, lambda one: {check["state"] for check in one["checks"]} == {"ok"})
    [main] = house.api.call("GET", f"/agents?gateway_id={house.gateway_id}")["items"]
    main = house.there(main["id"])
    assert main["is_gateway_main"]
    assert f"mc-gateway-{house.gateway_id}" in house.agents_there()


def test_a_conversation_becomes_a_board_with_a_lead(house: House) -> None:
    board = house.api.board("Street garden", gateway_id=house.gateway_id)
    path = f"/boards/{board['id']}/onboarding"
    house.api.call("POST", f"{path}/start")
    asked = house.until(path, lambda one: one["waiting_for"] == "person")
    assert json.loads(asked["messages"][-1]["content"])["question"] == QUESTION["question"]
    house.api.call("POST", f"{path}/answer", answer="A garden")
    drafted = house.until(path, lambda one: one["draft_goal"])["draft_goal"]
    goal = {name: drafted[name] for name in ("board_type", "objective", "success_metrics")}
    confirmed = house.api.call("POST", f"{path}/confirm", **goal)
    assert confirmed["goal_confirmed"]
    [lead] = house.api.call("GET", f"/agents?board_id={board['id']}")["items"]
    lead = house.there(lead["id"])
    assert (lead["name"], lead["is_board_lead"]) == ("Fern", True)
    assert f"lead-{board['id']}" in house.agents_there()
    first = next(turn for turn in house.crew.told if turn.agent == f"lead-{board['id']}")
    assert DRAFT["objective"] in first.system


def test_workers_claim_their_tasks_over_the_api(house: House) -> None:
    board = house.board("Beds")
    for worker in house.agents(board, "Moss", "Reed"):
        assert "token" not in worker
        task = house.api.call(
            "POST",
            f"/boards/{board['id']}/tasks",
            title=f"Dig with {worker['name']}",
            assigned_agent_id=worker["id"],
        )
        path = f"/boards/{board['id']}/tasks/{task['id']}"
        house.until(path, lambda one: one["status"] == "in_progress")
        told = house.until(
            f"/agents/{worker['id']}/messages",
            lambda page: all(one["state"] == "acknowledged" for one in page["items"]),
        )
        assert "TASK ASSIGNED" in {one["kind"] for one in told["items"]}


def test_no_model_turn_is_spent_where_nothing_waits(house: House) -> None:
    [agent] = house.agents(house.board("Quiet"), "Hush", heartbeat_config={"every": "3s"})
    key = f"mc-{agent['id']}"
    [job] = [
        one
        for one in house.ask("cron.list", {"agentId": key, "includeDisabled": True})["jobs"]
        if one["payload"]["kind"] == "heartbeat"
    ]
    before = house.turns_of(key)
    runs = {"id": job["id"]}
    begun = len(house.ask("cron.runs", runs)["entries"])
    deadline = time.monotonic() + 30
    while len(house.ask("cron.runs", runs)["entries"]) < begun + 2:
        assert time.monotonic() < deadline, "its heartbeat does not beat"
        time.sleep(0.5)
    assert house.turns_of(key) == before


def test_a_command_waits_for_an_answer_in_our_inbox(house: House, clover: Row) -> None:
    key, board_id = f"mc-{clover['id']}", clover["board_id"]
    config = house.ask("config.get", {})
    mode = {"agents": {"entries": {key: {"tools": {"exec": {"mode": "ask"}}}}}}
    house.ask("config.patch", {"raw": json.dumps(mode), "baseHash": config["hash"]})
    house.api.call(
        "POST",
        f"/gateways/sessions/agent:{key}:main/message?board_id={board_id}",
        content="run: touch asked-for",
    )
    path = f"/gateway-requests?board_id={board_id}&state=waiting"
    [asked] = house.until(path, lambda page: page["items"])["items"]
    assert asked["command"] == "touch asked-for"
    answer = f"/gateway-requests/{asked['id']}/answer"
    house.api.call("POST", answer, decision="allow-once", sha256=asked["sha256"])
    done = house.until(f"/gateway-requests/{asked['id']}", lambda one: one["delivered_at"])
    assert done["state"] == "answered"
    house.until(
        f"/agents/{clover['id']}/runs",
        lambda page: page["items"] and page["items"][0]["status"] == "ended",
    )
    [made] = house.workspaces.glob("*/asked-for")
    assert made.exists()


def test_what_was_said_is_read_back_and_files_follow_the_goal(house: House, clover: Row) -> None:
    key, board_id = f"agent:mc-{clover['id']}:main", clover["board_id"]
    path = f"/gateways/sessions/{key}/history?board_id={board_id}"
    said = house.api.call("GET", path)["history"]
    assert {one["role"] for one in said} >= {"user", "assistant", "toolResult"}
    sync = f"/gateways/{house.gateway_id}/templates/sync"
    shown = house.api.call("POST", f"{sync}?dry_run=true&include_main=false&board_id={board_id}")
    states = {file["state"] for one in shown["agents"] for file in one["files"]}
    assert states == {"same"}
    house.api.call("PATCH", f"/boards/{board_id}", objective="Paths of gravel, not of mud")
    house.there(clover["id"])
    file = house.ask("agents.files.get", {"agentId": f"mc-{clover['id']}", "name": "AGENTS.md"})
    assert "Paths of gravel, not of mud" in file["file"]["content"]


def test_who_is_deleted_is_gone_from_the_gateway(house: House) -> None:
    board = house.board("Autumn")
    leaf, twig = house.agents(board, "Leaf", "Twig")
    house.api.call("DELETE", f"/agents/{leaf['id']}")
    path = f"/agents?board_id={board['id']}"
    house.until(path, lambda page: [one["name"] for one in page["items"]] == ["Twig"])
    assert f"mc-{leaf['id']}" not in house.agents_there()
    house.api.call("DELETE", f"/boards/{board['id']}")
    deadline = time.monotonic() + PATIENCE
    while f"mc-{twig['id']}" in house.agents_there():
        assert time.monotonic() < deadline, "the agents of a deleted board stay on the gateway"
