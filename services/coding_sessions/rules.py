"""What sessions do and whether the gate is on, judged by what clients have reported."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from models import ClientConnection, CodingClient, CodingSession, SessionState
from services import agents

EVIDENCE_AGE = timedelta(days=1)  # after which a session says nothing about the gate any more
CLIENT_NAMES: Mapping[CodingClient, str] = {
    CodingClient.CLAUDE: "Claude Code",
    CodingClient.CODEX: "Codex",
    CodingClient.COPILOT: "Copilot CLI",
    CodingClient.OPENCODE: "opencode",
    CodingClient.GEMINI: "Gemini CLI",
}

TESTED_VERSIONS: Mapping[CodingClient, str] = {
    CodingClient.CLAUDE: "2.1.332",
    CodingClient.CODEX: "0.171.0",
    CodingClient.COPILOT: "1.0.102",
    CodingClient.OPENCODE: "1.18.33",
    CodingClient.GEMINI: "0.61.0",
}
"""The versions with which the tests run: what a client does can change with each version."""


class ConnectionKind(StrEnum):
    """The ways in which a client reaches the server."""

    HOOK = "hook"
    MCP = "mcp"
    TELEMETRY = "telemetry"


def find_contact(connection: ClientConnection, kind: ConnectionKind) -> datetime | None:
    """Return when a client was last seen in one way; None: not since it was disconnected."""
    at: datetime | None = getattr(connection, f"{kind}_at")
    left_at = connection.disconnected_at
    return at if at is not None and (left_at is None or at > left_at) else None


class ReportedState(StrEnum):
    """What a session does, as far as that is known."""

    WORKING = "working"
    WAITING = "waiting"  # its client has asked, and waits for the answer
    IDLE = "idle"
    UNKNOWN = "unknown"  # it has been silent: it may work, wait for its user, or have been killed
    ENDED = "ended"


def find_state(session: CodingSession, at: datetime, *, is_held: bool = False) -> ReportedState:
    """Return what a session does. `is_held`: a connection of its client waits for an answer."""
    if is_held:
        return ReportedState.WAITING
    if session.state is SessionState.ENDED:
        return ReportedState.ENDED
    if at - session.last_signal_at >= agents.SESSION_SILENT_AFTER:
        return ReportedState.UNKNOWN
    return ReportedState(session.state)


class GateState(StrEnum):
    """Whether a client asks before it calls a tool, as far as that is known."""

    NEVER_ASKED = "never_asked"
    DISCONNECTED = "disconnected"  # its settings were restored, and it has not asked since
    BYPASSED = "bypassed"  # a tool call of the latest session ran without asking
    NOT_IN_SESSION = "not_in_session"  # the latest session works, and has not asked
    ON = "on"
    UNKNOWN = "unknown"  # the latest session is too old


def find_gate_state(
    connection: ClientConnection, latest: CodingSession | None, ungated_count: int, at: datetime
) -> GateState:
    """Return whether a client asks: only a request of its latest session shows that it does."""
    if connection.hook_at is None:
        return GateState.NEVER_ASKED
    asked_at = latest.last_call_at if latest is not None else None
    left_at = connection.disconnected_at
    if left_at is not None and max(connection.hook_at, asked_at or left_at) <= left_at:
        return GateState.DISCONNECTED
    if ungated_count:
        return GateState.BYPASSED
    if latest is None or at - latest.last_signal_at >= EVIDENCE_AGE:
        return GateState.UNKNOWN
    return GateState.ON if latest.last_call_at is not None else GateState.NOT_IN_SESSION


def is_tested(client: CodingClient, version: str | None) -> bool | None:
    """Return whether the tests run with this version of a client; None without a version."""
    return None if version is None else version == TESTED_VERSIONS[client]
