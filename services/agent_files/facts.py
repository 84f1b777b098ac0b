"""What the files of an agent say, as plain values.

Nothing here is a row, and nothing is secret but the agent's own token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Role(StrEnum):
    """What an agent is for: each role has templates of its own."""

    MAIN = "main"  # looks after a gateway
    LEAD = "lead"
    WORKER = "worker"


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A board that the agent of a gateway writes to, or an agent: its name, and its id."""

    id: UUID
    name: str
    lead: str | None = None


@dataclass(frozen=True, kw_only=True)
class BoardFacts:
    """The board of an agent: what it is for, and what it asks of its tasks."""

    id: UUID
    name: str
    board_type: str = "general"
    description: str = ""
    objective: str | None = None
    success_metrics: Mapping[str, Any] | None = None
    target_date: datetime | None = None
    goal_confirmed: bool = False
    rules: frozenset[str] = frozenset()  # the names of those that are on: services.boards.RULES
    max_agents: int = 0
    is_paused: bool = False
    lead: str | None = None  # its name
    lead_profile: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Whom an agent works for."""

    name: str | None = None
    preferred_name: str | None = None
    pronouns: str | None = None
    timezone: str | None = None
    notes: str | None = None
    context: str | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that one agent is told.

    `base_url` is where it reaches Mission Control. `token` is its own, or "" where nobody knows it.
    `workspace` is its folder on the gateway's machine, `every` how often it is woken (`10m`).
    """

    role: Role
    agent_id: UUID | None  # None: it is not made yet
    name: str
    base_url: str
    token: str = field(default="", repr=False)
    profile: Mapping[str, str] = field(default_factory=dict)
    identity: str | None = None  # the text that stands in for the usual IDENTITY.md
    soul: str | None = None
    every: str = "10m"
    is_quiet: bool = True  # its heartbeats ask no model: it hears of what waits by messages alone
    session_key: str = ""
    workspace: str = ""
    board: BoardFacts | None = None  # none of it looks after a gateway
    person: Person | None = None
    gateway: str = ""  # its name
    boards: Sequence[Neighbour] = ()  # that the gateway serves, for the agent that looks after it
