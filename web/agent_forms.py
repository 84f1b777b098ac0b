"""What people type about an agent."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel

from models import Agent
from services.agents import AgentDraft
from web.forms import Line, OrNothing

Said = Annotated[Line | None, OrNothing]

DEFAULT_EMOJI = ":robot:"


class Identity(BaseModel):
    """Who an agent is, and how often it means to check in."""

    name: Line
    role: Said = None
    communication_style: Said = None
    emoji: Line = DEFAULT_EMOJI
    every: Line = "10m"

    def profile(self) -> dict[str, str | None]:
        """Return what is kept of who the agent is."""
        return self.model_dump(include={"role", "communication_style", "emoji"})


class NewAgent(Identity):
    """An agent to be, the board it works on, and maybe what it shall do first."""

    board_id: UUID
    kind: Literal["worker", "lead"] = "worker"
    first_task: Annotated[Line | None, OrNothing] = None

    def draft(self) -> AgentDraft:
        """Return the agent that is wanted."""
        return AgentDraft(
            name=self.name,
            identity_profile=self.profile(),
            heartbeat_config={"every": self.every, "target": "last", "includeReasoning": False},
        )


class ChangedAgent(Identity):
    """What an agent is to be from now on, and where it works."""

    board_id: UUID

    def changes(self, agent: Agent) -> dict[str, object]:
        """Return what is to be stored. What the form does not ask about stays."""
        return {
            "name": self.name,
            "identity_profile": (agent.identity_profile or {}) | self.profile(),
            "heartbeat_config": (agent.heartbeat_config or {}) | {"every": self.every},
            "board_id": self.board_id,
        }
