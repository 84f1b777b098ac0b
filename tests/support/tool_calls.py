"""Tool calls that clients of coding agents ask for, in tests."""

from datetime import timedelta
from typing import Any

from models import CodingClient
from services import tool_calls
from services.tool_calls import HeldCall, PreparedCall, ToolReply

PUSH = {"command": "git push origin main"}


def prepare(
    command: str = PUSH["command"], *, client: CodingClient = CodingClient.CLAUDE, **fields: Any
) -> PreparedCall:
    """Return a call of the tool Bash, by default one for which people are asked."""
    headless = fields.pop("is_headless", False)
    body = hook_body(command, **fields)
    asked = tool_calls.read_tool_request(client, body, "PreToolUse", is_headless=headless)
    return tool_calls.prepare_call(asked)


def hook_body(command: str = PUSH["command"], **fields: Any) -> dict[str, Any]:
    """Return the request of a hook of Claude Code, Codex or Gemini for the tool Bash."""
    return {
        "hook_event_name": "PreToolUse",
        "session_id": "session-1",
        "cwd": "/home/dev/project",
        "tool_name": "Bash",
        "tool_input": {"command": command},
        **fields,
    }


async def ask(session, agent, call: PreparedCall | None = None) -> ToolReply | HeldCall:
    """Ask for a call, which is held for at most a minute."""
    return await tool_calls.ask(session, agent, call or prepare(), wait=timedelta(minutes=1))
