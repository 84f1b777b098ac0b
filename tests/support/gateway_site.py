"""A gateway that is connected to the site, with an agent that asks questions and works."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.fake_gateway import TOKEN, wait_until
from tests.support.fake_requests_gateway import FakeRequestsGateway, run_fake_requests_gateway
from tests.support.live_site import LiveSite


@dataclass
class GatewaySite:
    """A gateway, a board on it, and its agent."""

    site: LiveSite
    gateway: FakeRequestsGateway
    board: dict[str, Any]
    agent: dict[str, Any]

    @property
    def agent_key(self) -> str:
        """Return the agent key on the gateway."""
        return f"mc-{self.agent['id']}"

    @property
    def session_key(self) -> str:
        """Return the session key of the agent."""
        return f"agent:{self.agent_key}:main"

    async def request_command(self, command: str, **more: Any) -> dict[str, Any]:
        """Request a command as the agent, and return the gateway request of the API."""
        await self.gateway.request_approval(f"ask {command}", command, self.agent_key, **more)
        return await self.wait_for_request(f"ask {command}")

    async def wait_for_request(self, id: str) -> dict[str, Any]:
        """Wait until the site has received a gateway request."""
        async with asyncio.timeout(20):
            while True:
                found = await self.call("GET", "/gateway-requests")
                for one in found["items"]:
                    if one["request_id"] == id:
                        return one
                await asyncio.sleep(0.02)

    async def call(self, method: str, path: str, **fields: Any) -> Any:
        return await asyncio.to_thread(self.site.owner.call, method, path, **fields)


@asynccontextmanager
async def run_gateway_site(site: LiveSite, name: str = "Workshop") -> AsyncGenerator[GatewaySite]:
    """Run a gateway with a board, and wait until the site is connected to it."""
    async with run_fake_requests_gateway() as fake:

        async def call(path: str, **fields: Any) -> Any:
            return await asyncio.to_thread(site.owner.call, "POST", path, **fields)

        way = {"url": fake.url, "token": TOKEN, "workspace_root": "/agents"}
        gateway = await call("/gateways", name=name, **way)
        board = await asyncio.to_thread(
            site.create_board, f"Board of {name}", gateway_id=gateway["id"]
        )
        made = await call("/agents", name="Juniper", board_id=board["id"])
        await wait_until(lambda: any(method == "question.list" for method, _ in fake.calls))
        yield GatewaySite(site, fake, board, made)
