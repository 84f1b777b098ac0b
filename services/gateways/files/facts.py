"""What the files of an agent say, as plain values, and where the agent is on its gateway.

The only secret is the agent's own token.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from core.text import slugify
from models import Agent


class AgentRole(StrEnum):
    """The role of an agent. Each role has templates of its own."""

    MAIN = "main"  # manages a gateway
    LEAD = "lead"
    WORKER = "worker"


@dataclass(frozen=True, kw_only=True)
class ServedBoard:
    """A board that a gateway serves, for the agent that manages the gateway."""

    id: UUID
    name: str
    lead_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class BoardFacts:
    """The board of an agent: its goal and its rules."""

    id: UUID
    name: str
    board_type: str = "general"
    description: str = ""
    objective: str | None = None
    success_metrics: Mapping[str, Any] | None = None
    target_date: datetime | None = None
    goal_confirmed: bool = False
    rules: frozenset[str] = frozenset()  # the active ones of services.boards.TASK_RULES
    max_agents: int = 0
    is_paused: bool = False
    lead_name: str | None = None
    lead_profile: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PersonFacts:
    """The user that an agent works for."""

    name: str | None = None
    preferred_name: str | None = None
    pronouns: str | None = None
    timezone: str | None = None
    notes: str | None = None
    context: str | None = None


@dataclass(frozen=True, kw_only=True)
class AgentFacts:
    """Everything that the files of one agent say.

    `base_url` is the address of Mission Control. `token` is the agent's own, or "" if unknown.
    `workspace` is its folder on the gateway's machine. `heartbeat_interval` is that of
    the heartbeat messages, for example `10m`.
    """

    role: AgentRole
    agent_id: UUID | None  # None: not created yet
    name: str
    base_url: str
    token: str = field(default="", repr=False)
    profile: Mapping[str, str] = field(default_factory=dict)
    identity: str | None = None  # replaces the usual IDENTITY.md
    soul: str | None = None
    heartbeat_interval: str = "10m"
    gets_heartbeats: bool = False  # otherwise it works only when something waits for it
    session_key: str = ""
    workspace: str = ""
    board: BoardFacts | None = None  # None: the agent manages a gateway
    person: PersonFacts | None = None
    gateway_name: str = ""
    boards: Sequence[ServedBoard] = ()  # of the gateway, for the agent that manages it
    is_imported: bool = False  # its workspace has files of the original


MAX_KEY_LENGTH = 64  # characters of an agent's id on a gateway


def session_key_of(agent: Agent) -> str:
    """Return the key of an agent's main session, or "" without a gateway."""
    return agent.openclaw_session_id or agent.session_key or ""


def workspace_path(root: str, key: str) -> str:
    """Return the folder of the agent with this main session."""
    id = key.split(":")[1] if key.count(":") else key
    name = slugify(id, max_length=MAX_KEY_LENGTH)
    if id.startswith("mc-gateway-"):
        name = name.removeprefix("mc-")
    return f"{root.rstrip('/')}/workspace-{name}"


def quote_path(path: str) -> str:
    """Quote a path for a shell, so that a `~` at its beginning is still expanded."""
    home, slash, rest = path.partition("/")
    if home == "~" and slash:
        return f"~/{shlex.quote(rest)}" if rest else "~/"
    return shlex.quote(path)
