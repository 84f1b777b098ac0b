"""A gateway beside the house, with an agent on it that asks people and works."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.browser.home import Home
from tests.openclaw.asking import Asking, asking
from tests.openclaw.fake import TOKEN, soon


@dataclass
class Beside:
    """The gateway, a board on it, and the agent that works there."""

    home: Home
    fake: Asking
    board: dict[str, Any]
    agent: dict[str, Any]

    @property
    def key(self) -> str:
        """How the gateway calls the agent."""
        return f"mc-{self.agent['id']}"

    @property
    def session(self) -> str:
        """The session in which the agent works."""
        return f"agent:{self.key}:main"

    async def request(self, command: str, **more: Any) -> dict[str, Any]:
        """Let the agent ask whether it may run a command, and return that as the API tells it."""
        await self.fake.ask(f"ask {command}", command, self.key, **more)
        return await self.asked(f"ask {command}")

    async def asked(self, id: str) -> dict[str, Any]:
        """Wait until the house knows of a request."""
        async with asyncio.timeout(20):
            while True:
                found = await self.call("GET", "/gateway-requests")
                for one in found["items"]:
                    if one["request_id"] == id:
                        return one
                await asyncio.sleep(0.1)

    async def call(self, method: str, path: str, **fields: Any) -> Any:
        return await asyncio.to_thread(self.home.owner.call, method, path, **fields)


@asynccontextmanager
async def beside(home: Home, name: str = "Workshop") -> AsyncGenerator[Beside]:
    """Let a gateway run, with a board on it, and wait until the house holds it."""
    async with asking() as fake:

        async def call(path: str, **fields: Any) -> Any:
            return await asyncio.to_thread(home.owner.call, "POST", path, **fields)

        way = {"url": fake.url, "token": TOKEN, "workspace_root": "/agents"}
        gateway = await call("/gateways", name=name, **way)
        board = await asyncio.to_thread(home.board, f"Board of {name}", gateway_id=gateway["id"])
        made = await call("/agents", name="Juniper", board_id=board["id"])
        await soon(lambda: any(method == "question.list" for method, _ in fake.calls))
        yield Beside(home, fake, board, made)
