"""Mission Control with a real gateway, whose agents behave as a test defines.

The agents do what a good agent does: they really run `curl`.
"""

import json
import re
import shlex
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from openclaw import DeviceIdentity, GatewayClient, GatewayError, GatewayTarget, RetryPolicy
from tests.support.fake_llm import FakeLlm, LlmAction, LlmTurn, RunCommand
from tests.support.installation import (
    LOCAL_AUTH,
    LOCAL_TOKEN,
    ApiClient,
    Installation,
    find_free_port,
)
from tests.support.real_gateway import RealGateway

TIMEOUT = 180  # seconds: a first turn takes up to 15, and much longer on a busy machine
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
class AgentBehavior:
    """The behavior of all agents: check in, follow the message, and write nothing in the chat."""

    url: str
    turns: list[LlmTurn] = field(default_factory=list)

    def respond(self, turn: LlmTurn) -> LlmAction:
        """Return one action for each message."""
        token = turn.find(TOKEN)
        if turn.results or token is None:  # the tool call is done
            return "Done."
        self.turns.append(turn)
        marker = turn.message.partition("\n")[0]
        board, task = turn.find(BOARD), turn.find(TASK)
        if marker == "BOARD ONBOARDING REQUEST":
            return self.curl_command(token, "POST", f"/agent/boards/{board}/onboarding", QUESTION)
        if marker == "BOARD ONBOARDING ANSWER":
            return self.curl_command(token, "POST", f"/agent/boards/{board}/onboarding", DRAFT)
        if marker == "TASK ASSIGNED":
            path = f"/agent/boards/{board}/tasks/{task}"
            return self.curl_command(token, "PATCH", path, {"status": "in_progress"})
        if command := re.match(r"run: (.*)", turn.message):
            return RunCommand(command[1])
        return self.curl_command(token, "POST", "/agent/heartbeat", {})

    def curl_command(self, token: str, method: str, path: str, body: Any) -> RunCommand:
        """Return the command that calls our API."""
        parts = ["curl", "-sS", "-X", method, f"{self.url}/api/v1{path}"]
        parts += ["-H", f"X-Agent-Token: {token}", "-H", "Content-Type: application/json"]
        return RunCommand(shlex.join([*parts, "-d", json.dumps(body)]))


@dataclass
class GatewayInstallation:
    """Mission Control, a real gateway, and the fake LLM of its agents."""

    installation: Installation
    gateway: RealGateway
    llm: FakeLlm
    behavior: AgentBehavior
    api: ApiClient
    workspaces: Path
    gateway_id: str = ""

    def wait_for(self, path: str, is_so: Callable[[Any], object], within: float = TIMEOUT) -> Any:
        """Read a path until the condition holds, and return the answer."""
        deadline = time.monotonic() + within
        seen: Any = None
        while time.monotonic() < deadline:
            seen = self.api.call("GET", path)
            if is_so(seen):
                return seen
            time.sleep(0.2)
        raise AssertionError(f"{path} is still {json.dumps(seen)[:3000]}")

    def create_agents(
        self, board: dict[str, Any], *names: str, **fields: Any
    ) -> list[dict[str, Any]]:
        """Create agents of a board, and wait until all have checked in."""
        made = [
            self.api.call("POST", "/agents", name=name, board_id=board["id"], **fields)
            for name in names
        ]
        return [self.wait_for_agent(one["id"]) for one in made]

    def wait_for_agent(self, agent_id: str) -> dict[str, Any]:
        """Wait until an agent is online and has no pending step."""
        return self.wait_for(
            f"/agents/{agent_id}",
            lambda one: one["status"] == "online" and one["provisioning"]["step"] is None,
        )

    def create_board(self, name: str) -> dict[str, Any]:
        """Create a board on the gateway."""
        return self.api.create_board(name, gateway_id=self.gateway_id, max_agents=5)

    def call_gateway(self, method: str, params: dict[str, Any]) -> Any:
        """Call a method of the gateway."""
        return call_gateway(self.gateway, method, params)

    def change_config(self, change: dict[str, Any]) -> None:
        """Change the configuration; again if Mission Control has changed it meanwhile."""
        while True:
            config = self.call_gateway("config.get", {})
            params = {"raw": json.dumps(change), "baseHash": config["hash"]}
            try:
                self.call_gateway("config.patch", params)
            except GatewayError as error:
                if "config changed since last load" not in error.message:
                    raise
            else:
                return

    def wait_until_idle(self, agent_id: str) -> list[str]:
        """Wait until the turns of all messages to an agent have ended; return its model calls.

        An agent checks in during its first turn: it is online before that turn has ended.
        """
        path = f"/agents/{agent_id}/messages"
        states = {"acknowledged"}
        self.wait_for(path, lambda page: {one["state"] for one in page["items"]} == states)
        return self.list_model_calls(agent_id)

    def list_model_calls(self, agent_id: str) -> list[str]:
        """Return the last message in each call of the model for an agent, in order."""
        return [turn.message for turn in self.llm.turns if turn.agent == f"mc-{agent_id}"]

    def list_gateway_agents(self) -> list[str]:
        """Return the ids of the agents that the gateway lists."""
        return [agent["id"] for agent in self.call_gateway("agents.list", {})["agents"]]


def call_gateway(gateway: RealGateway, method: str, params: dict[str, Any]) -> Any:
    """Call a method of a gateway."""

    async def call() -> Any:
        target = GatewayTarget(gateway.url, gateway.token, DeviceIdentity.generate())
        async with GatewayClient(target, retry_policy=RetryPolicy(total_timeout=60)) as client:
            return await client.call_with_retry(method, params, is_idempotent=True)

    return anyio.run(call)


@contextmanager
def run_gateway_installation(
    gateway: RealGateway, model: FakeLlm, folder: Path, **environment: str
) -> Generator[GatewayInstallation]:
    """Run Mission Control in a folder, with a gateway whose agents have this behavior."""
    installation = Installation(folder / "data", find_free_port(), LOCAL_AUTH | environment)
    model.behavior = (agents_behavior := AgentBehavior(installation.url)).respond
    installation.start()
    try:
        with ApiClient(installation.url, LOCAL_TOKEN) as api:
            with_gateway = GatewayInstallation(
                installation, gateway, model, agents_behavior, api, folder / "workspaces"
            )
            made = api.call(
                "POST",
                "/gateways",
                name="Workshop",
                url=gateway.url,
                token=gateway.token,
                workspace_root=str(with_gateway.workspaces),
            )
            with_gateway.gateway_id = made["id"]
            yield with_gateway
    finally:
        installation.stop()
