"""A client of the MCP server."""

from collections.abc import Mapping
from typing import Any

import httpx2

MODERN = "2026-07-28"


class McpClient:
    """Calls the MCP server with one request for each message, as the clients of agents do."""

    def __init__(self, http: httpx2.AsyncClient, version: str | None = MODERN) -> None:
        self.http, self.version = http, version

    async def post(
        self, method: str, params: Mapping[str, Any] | None = None, **headers: str
    ) -> httpx2.Response:
        sent = dict(params or {})
        headers = {"Accept": "application/json, text/event-stream", **headers}
        if self.version is not None:
            headers["MCP-Protocol-Version"] = self.version
        if self.version == MODERN:
            headers["Mcp-Method"] = method
            if "name" in sent:
                headers["Mcp-Name"] = sent["name"]
            sent["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": sent}
        return await self.http.post("http://mission.test/mcp", json=body, headers=headers)

    async def request(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        response = await self.post(method, params)
        assert response.status_code == 200, response.text
        return response.json()["result"]

    async def list_names(self) -> list[str]:
        return [one["name"] for one in (await self.request("tools/list"))["tools"]]

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that succeeds, and return its structured content."""
        result = await self.request("tools/call", {"name": name, "arguments": arguments})
        assert not result["isError"], result
        content: dict[str, Any] = result["structuredContent"]
        return content

    async def fail(self, name: str, **arguments: Any) -> tuple[str | None, str]:
        """Call a tool that fails, and return the code and the text of the error."""
        result = await self.request("tools/call", {"name": name, "arguments": arguments})
        assert result["isError"], result
        return result["structuredContent"].get("code"), result["content"][0]["text"]
