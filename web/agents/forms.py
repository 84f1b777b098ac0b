"""Forms about agents."""

from collections.abc import Set
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from models import Agent
from services.agents import AgentDraft, AgentName
from web.ui.edited_fields import EditedField, FieldKind, without
from web.ui.forms import Line, OptionalLine
from web.ui.translation import N_

DEFAULT_EMOJI = ":robot:"
DEFAULT_INTERVAL = "10m"


class AgentIdentityForm(BaseModel):
    """Profile and heartbeat interval of an agent."""

    name: AgentName
    role: OptionalLine = None
    communication_style: OptionalLine = None
    emoji: Line = DEFAULT_EMOJI
    every: Line = DEFAULT_INTERVAL

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
    """Changes of an agent, including its board, which the agent of a gateway does not have."""

    board_id: UUID | None = None

    def to_changes(self, agent: Agent, untouched: Set[str] = frozenset()) -> dict[str, object]:
        """Return the changed columns. Keys that the form does not change keep their values."""
        profile = without(self.to_identity_profile(), untouched)
        heartbeat = without({"every": self.every}, untouched)
        changes: dict[str, object] = {
            "name": self.name,
            "identity_profile": (agent.identity_profile or {}) | profile,
            "heartbeat_config": (agent.heartbeat_config or {}) | heartbeat,
        }
        if agent.board_id or self.board_id:
            changes["board_id"] = self.board_id
        return without(changes, untouched)


def list_edited_fields(agent: Agent) -> list[EditedField]:
    """Return the current values of an agent as its form shows them."""
    profile, heartbeat = agent.identity_profile or {}, agent.heartbeat_config or {}
    every, emoji = heartbeat.get("every"), profile.get("emoji")
    style = profile.get("communication_style")
    return [
        EditedField("name", N_("Name"), agent.name, FieldKind.LINE),
        EditedField("role", N_("Role"), profile.get("role"), FieldKind.LINE, "identity_profile"),
        EditedField("board_id", N_("Board"), agent.board_id),
        EditedField("every", N_("Heartbeat"), every or DEFAULT_INTERVAL, column="heartbeat_config"),
        EditedField("emoji", N_("Picture"), emoji or DEFAULT_EMOJI, column="identity_profile"),
        EditedField(
            "communication_style",
            N_("Communication style"),
            style,
            FieldKind.LINE,
            "identity_profile",
        ),
    ]


def list_shown_values(agent: Agent) -> dict[str, object]:
    """Return the values that the form of an agent shows, by field."""
    return {field.name: field.value for field in list_edited_fields(agent)}
