"""Mission Control as an MCP server: operations of the API as tools for agents and people."""

from api.mcp.endpoint import route, run_server

__all__ = ["route", "run_server"]
