"""A crew on a real gateway, from the first connection to the last goodbye: `./run test --gateway`.

Its agents have a scripted model, so they do what a good agent does: they really run `curl`.
"""

import json
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from openclaw import Budget, Device, Link, Target
from tests.installation import LOCAL, LOCAL_TOKEN, Api, Installation, free_port
from tests.openclaw import real, scripted
from tests.openclaw.real import Real
from tests.openclaw.scripted import Model, Run, Thought, Turn

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="a real gateway is asked for with --gateway"
)

PATIENCE = 90  # seconds: a first turn takes up to 15 on a machine that is busy
TOKEN = r"(mc_agent_[\w-]+)"
BOARD = r"(?:Board ID: |BOARD_ID=)(\S+)"
TASK = r"Task ID: (\S+)"

QUESTION = {"question": "What shall be true in the end?", "options": ["A garden", "I'll type it"]}
DRAFT: dict[str, Any] = {
    "status": "complete",
    "board_type": "goal",
    "objective": "A garden for the whole street",
    "success_metrics": {"beds": "12"},
    "lead_agent": {"name": "Fern", "autonomy_level": "balanced"},
}


@dataclass
class Crew:
    """What all agents think: they check in, do what they are told, and say nothing in the chat."""

    url: str
    told: list[Turn] = field(default_factory=list)

    def think(self, turn: Turn) -> Thought:
        """Do one thing for each thing that an agent is told."""
        token = turn.found(TOKEN)
        if turn.results or token is None:  # the gateway wants to hear how it went
            return "Done."
        self.told.append(turn)
        marker = turn.told.partition("\n")[0]
        board, task = turn.found(BOARD), turn.found(TASK)
        if marker == "BOARD ONBOARDING REQUEST":
            return self.call(token, "POST", f"/agent/boards/{board}/onboarding", QUESTION)
        if marker == "BOARD ONBOARDING ANSWER":
            return self.call(token, "POST", f"/agent/boards/{board}/onboarding", DRAFT)
        if marker == "TASK ASSIGNED":
            path = f"/agent/boards/{board}/tasks/{task}"
            return self.call(token, "PATCH", path, {"status": "in_progress"})
        if command := re.match(r"run: (.*)", turn.told):
            return Run(command[1])
        return self.call(token, "POST", "/agent/heartbeat", {})

    def call(self, token: str, method: str, path: str, body: Any) -> Run:
        """Call our API as an agent does."""
        parts = ["curl", "-sS", "-X", method, f"{self.url}/api/v1{path}"]
        parts += ["-H", f"X-Agent-Token: {token}", "-H", "Content-Type: application/json"]
        return Run(shlex.join([*parts, "-d", json.dumps(body)]))


@dataclass
class House:
    """Mission Control, a real gateway, and the model that its agents have."""

    installation: Installation
    gateway: Real
    model: Model
    crew: Crew
    api: Api
    gateway_id: str = ""

    def until(self, path: str, is_so: Callable[[Any], object], within: float = PATIENCE) -> Any:
        """Look until something is so, and return what was seen then."""
        deadline = time.monotonic() + within
        seen: Any = None
        while time.monotonic() < deadline:
            seen = self.api.call("GET", path)
            if is_so(seen):
                return seen
            time.sleep(0.2)
        raise AssertionError(f"{path} is still {json.dumps(seen)[:3000]}")

    def agent(self, **fields: Any) -> dict[str, Any]:
        """Make an agent, and wait until it has called."""
        made = self.api.call("POST", "/agents", **fields)
        return self.there(made["id"])

    def there(self, agent_id: str) -> dict[str, Any]:
        """Wait until an agent is there, and until nothing more is to be done for it."""
        return self.until(
            f"/agents/{agent_id}",
            lambda one: one["status"] == "online" and one["provisioning"]["step"] is None,
        )

    def board(self, name: str) -> dict[str, Any]:
        """Make a board on the gateway."""
        return self.api.board(name, gateway_id=self.gateway_id, max_agents=5)

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        """Ask the gateway itself."""

        async def asked() -> Any:
            target = Target(self.gateway.url, self.gateway.token, Device.new())
            async with Link(target, budget=Budget(whole=60)) as link:
                return await link.call(method, params, repeatable=True)

        return anyio.run(asked)

    def agents_there(self) -> list[str]:
        """Return the ids of the agents that the gateway has."""
        return [agent["id"] for agent in self.ask("agents.list", {})["agents"]]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("crew")
    installation = Installation(folder / "data", free_port(), LOCAL)
    crew = Crew(installation.url)
    with scripted.thinking() as model, real.gateway(folder, model=model.url) as gateway:
        model.mind = crew.think
        installation.start()
        try:
            with Api(installation.url, LOCAL_TOKEN) as api:
                house = House(installation, gateway, model, crew, api)
                made = api.call(
                    "POST",
                    "/gateways",
                    name="Workshop",
                    url=gateway.url,
                    token=gateway.token,
                    workspace_root=str(folder / "workspaces"),
                )
                house.gateway_id = made["id"]
                yield house
        finally:
            installation.stop()


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
    workers = [house.agent(name=name, board_id=board["id"]) for name in ("Moss", "Reed")]
    for worker in workers:
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
    board = house.board("Quiet")
    agent = house.agent(name="Hush", board_id=board["id"], heartbeat_config={"every": "3s"})
    key = f"mc-{agent['id']}"
    [job] = [
        one
        for one in house.ask("cron.list", {"agentId": key, "includeDisabled": True})["jobs"]
        if one["payload"]["kind"] == "heartbeat"
    ]
    before = len(house.model.turns)
    runs = {"id": job["id"]}
    begun = len(house.ask("cron.runs", runs)["entries"])
    deadline = time.monotonic() + 30
    while len(house.ask("cron.runs", runs)["entries"]) < begun + 2:
        assert time.monotonic() < deadline, "its heartbeat does not beat"
        time.sleep(0.5)
    assert len(house.model.turns) == before


def test_a_command_waits_for_an_answer_in_our_inbox(house: House) -> None:
    board = house.board("Careful")
    worker = house.agent(name="Sage", board_id=board["id"])
    key = f"mc-{worker['id']}"
    config = house.ask("config.get", {})
    mode = {"agents": {"entries": {key: {"tools": {"exec": {"mode": "ask"}}}}}}
    house.ask("config.patch", {"raw": json.dumps(mode), "baseHash": config["hash"]})
    house.api.call(
        "POST",
        f"/gateways/sessions/agent:{key}:main/message?board_id={board['id']}",
        content="run: touch asked-for",
    )
    path = f"/gateway-requests?board_id={board['id']}&state=waiting"
    [asked] = house.until(path, lambda page: page["items"])["items"]
    assert asked["command"] == "touch asked-for"
    answer = f"/gateway-requests/{asked['id']}/answer"
    house.api.call("POST", answer, decision="allow-once", sha256=asked["sha256"])
    done = house.until(f"/gateway-requests/{asked['id']}", lambda one: one["delivered_at"])
    assert done["state"] == "answered"
    house.until(
        f"/agents/{worker['id']}/runs",
        lambda page: page["items"] and page["items"][0]["status"] == "ended",
    )
    [made] = house.gateway.state.glob("workspaces/*/asked-for")
    assert made.exists()


def test_what_was_said_is_read_back_and_files_follow_the_goal(house: House) -> None:
    board = house.board("Paths")
    worker = house.agent(name="Clover", board_id=board["id"])
    key = f"agent:mc-{worker['id']}:main"
    said = house.api.call("GET", f"/gateways/sessions/{key}/history?board_id={board['id']}")[
        "history"
    ]
    assert {one["role"] for one in said} >= {"user", "assistant", "toolResult"}
    sync = f"/gateways/{house.gateway_id}/templates/sync"
    shown = house.api.call("POST", f"{sync}?dry_run=true&include_main=false&board_id={board['id']}")
    states = {file["state"] for one in shown["agents"] for file in one["files"]}
    assert states == {"same"}
    house.api.call("PATCH", f"/boards/{board['id']}", objective="Paths of gravel, not of mud")
    house.there(worker["id"])
    file = house.ask("agents.files.get", {"agentId": f"mc-{worker['id']}", "name": "AGENTS.md"})
    assert "Paths of gravel, not of mud" in file["file"]["content"]


def test_a_restart_of_the_gateway_in_the_middle_loses_nothing(house: House) -> None:
    board = house.board("Storm")
    worker = house.agent(name="Rush", board_id=board["id"])
    house.ask("gateway.restart.request", {})
    task = house.api.call(
        "POST",
        f"/boards/{board['id']}/tasks",
        title="Survive",
        assigned_agent_id=worker["id"],
    )
    made = house.api.call("POST", "/agents", name="Heath", board_id=board["id"])
    path = f"/boards/{board['id']}/tasks/{task['id']}"
    house.until(path, lambda one: one["status"] == "in_progress", within=180)
    house.there(made["id"])
    told = [turn for turn in house.crew.told if task["id"] in turn.told]
    assert len(told) == 1


def test_kill_9_of_ours_in_the_middle_leaves_one_agent(house: House) -> None:
    board = house.board("Thunder")
    made = house.api.call("POST", "/agents", name="Bolt", board_id=board["id"])
    key = f"mc-{made['id']}"
    deadline = time.monotonic() + PATIENCE
    while key not in house.agents_there():
        assert time.monotonic() < deadline
    house.installation.kill()
    house.installation.start()
    house.there(made["id"])
    assert house.agents_there().count(key) == 1
    named = [one for one in house.ask("agents.list", {})["agents"] if one.get("name") == "Bolt"]
    assert len(named) == 1


def test_who_is_deleted_is_gone_from_the_gateway(house: House) -> None:
    board = house.board("Autumn")
    worker = house.agent(name="Leaf", board_id=board["id"])
    house.api.call("DELETE", f"/agents/{worker['id']}")
    path = f"/agents?board_id={board['id']}"
    house.until(path, lambda page: not page["items"])
    assert f"mc-{worker['id']}" not in house.agents_there()
    other = house.agent(name="Twig", board_id=board["id"])
    house.api.call("DELETE", f"/boards/{board['id']}")
    deadline = time.monotonic() + PATIENCE
    while f"mc-{other['id']}" in house.agents_there():
        assert time.monotonic() < deadline, "the agents of a deleted board stay on the gateway"
