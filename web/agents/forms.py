"""Forms about agents."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from models import Agent
from services.agents import AgentDraft
from web.ui.forms import Line, OptionalLine

DEFAULT_EMOJI = ":robot:"


class AgentIdentityForm(BaseModel):
    """Profile and heartbeat interval of an agent."""

    name: Line
    role: OptionalLine = None
    communication_style: OptionalLine = None
    emoji: Line = DEFAULT_EMOJI
    every: Line = "10m"

    def to_identity_profile(self) -> dict[str, str | None]:
        """Return the profile to store."""
        return self.model_dump(include={"role", "communication_style", "emoji"})


class NewAgentForm(AgentIdentityForm):
    """A new agent, its board, and optionally its first task."""

    board_id: UUID
    kind: Literal["worker", "lead"] = "worker"
    first_task: OptionalLine = None

    def to_draft(self) -> AgentDraft:
        """Return the agent to create."""
        return AgentDraft(
            name=self.name,
            identity_profile=self.to_identity_profile(),
            heartbeat_config={"every": self.every, "target": "last", "includeReasoning": False},
        )


class AgentEditForm(AgentIdentityForm):
    """Changes of an agent, including its board."""

    board_id: UUID

    def to_changes(self, agent: Agent) -> dict[str, object]:
        """Return the changed columns. Keys that the form does not contain keep their values."""
        return {
            "name": self.name,
            "identity_profile": (agent.identity_profile or {}) | self.to_identity_profile(),
            "heartbeat_config": (agent.heartbeat_config or {}) | {"every": self.every},
            "board_id": self.board_id,
        }
