"""Tool calls that clients of coding agents ask for, in tests."""

from datetime import timedelta
from typing import Any

from core.clock import now
from models import Agent, Approval, CodingClient, CodingSession, SessionState, ToolGrant, new_id
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


async def answer_held(session, held: HeldCall) -> ToolReply | None:
    """Answer a held call; None if its approval is not final."""
    return (await tool_calls.answer_held_calls(session, [held])).get(held)


def make_coding_session(agent: Agent, **fields: Any) -> CodingSession:
    """Make a session of an agent."""
    defaults = {
        "id": new_id(),
        "organization_id": agent.organization_id,
        "board_id": agent.board_id,
        "agent_id": agent.id,
        "client": CodingClient.CLAUDE,
        "session_key": "session-1",
        "state": SessionState.WORKING,
        "started_at": now(),
        "last_signal_at": now(),
    }
    return CodingSession(**defaults | fields)


def make_tool_grant(session: CodingSession, approval: Approval, **fields: Any) -> ToolGrant:
    """Make a permission for the rest of a session."""
    defaults = {
        "id": new_id(),
        "organization_id": session.organization_id,
        "board_id": approval.board_id,
        "agent_id": session.agent_id,
        "session_id": session.id,
        "approval_id": approval.id,
        "request_hash": "0" * 64,
        "tool": "Bash",
        "input_excerpt": '{"command": "git push"}',
        "created_at": now(),
    }
    return ToolGrant(**defaults | fields)
