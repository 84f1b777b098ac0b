"""A crew on a real gateway: Mission Control beside it, and what its agents think.

They do what a good agent does: they really run `curl`.
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

from openclaw import Budget, Device, Link, Target
from tests.installation import LOCAL, LOCAL_TOKEN, Api, Installation, free_port
from tests.openclaw.real import Real
from tests.openclaw.scripted import Model, Run, Thought, Turn

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
    workspaces: Path
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

    def agents(self, board: dict[str, Any], *names: str, **fields: Any) -> list[dict[str, Any]]:
        """Make agents of a board, and wait until all of them have called."""
        made = [
            self.api.call("POST", "/agents", name=name, board_id=board["id"], **fields)
            for name in names
        ]
        return [self.there(one["id"]) for one in made]

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

    def turns_of(self, key: str) -> int:
        """Count how often the model was asked to think for an agent."""
        return len([turn for turn in self.model.turns if turn.agent == key])

    def agents_there(self) -> list[str]:
        """Return the ids of the agents that the gateway has."""
        return [agent["id"] for agent in self.ask("agents.list", {})["agents"]]


@contextmanager
def moved_in(gateway: Real, model: Model, folder: Path) -> Generator[House]:
    """Let Mission Control run in a folder, connected to a gateway whose agents think as a crew."""
    installation = Installation(folder / "data", free_port(), LOCAL)
    model.mind = (crew := Crew(installation.url)).think
    installation.start()
    try:
        with Api(installation.url, LOCAL_TOKEN) as api:
            house = House(installation, gateway, model, crew, api, folder / "workspaces")
            made = api.call(
                "POST",
                "/gateways",
                name="Workshop",
                url=gateway.url,
                token=gateway.token,
                workspace_root=str(house.workspaces),
            )
            house.gateway_id = made["id"]
            yield house
    finally:
        installation.stop()
