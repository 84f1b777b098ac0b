"""Forms about agents."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from core.clock import parse_duration
from core.fields import FieldKind, Fields, Label, Name, Patch
from models import Agent, CodingClient
from services.agents import AgentCreate, AgentName, AgentUpdate
from web.ui import object_forms
from web.ui.edited_fields import EditedField
from web.ui.translation import N_

PROFILE_FIELDS = ("role", "emoji", "communication_style")
COLUMNS = {"every": "heartbeat_config"} | dict.fromkeys(PROFILE_FIELDS, "identity_profile")


def _check_interval(every: str) -> str:
    if parse_duration(every) is None:
        raise PydanticCustomError("interval", "not an interval")
    return every


class AgentForm(Fields):
    """An agent, with those parts of its profile and heartbeat that pages offer."""

    name: AgentName
    role: Annotated[Name | None, Label(N_("Role"), FieldKind.LINE)] = None
    board_id: Annotated[UUID, Label(N_("Board"))]
    every: Annotated[
        Name,
        AfterValidator(_check_interval),
        Label(N_("Heartbeat"), error=N_("Enter an interval such as 30s, 10m or 1h.")),
    ] = "10m"
    emoji: Annotated[Name, Label(N_("Picture"))] = ":robot:"
    communication_style: Annotated[
        Name | None, Label(N_("Communication style"), FieldKind.LINE)
    ] = None


class NewAgentForm(AgentForm):
    """A new agent, its board, and optionally its client and its first task."""

    client: Annotated[CodingClient | None, Label(N_("Client"))] = None
    kind: Annotated[Literal["worker", "lead"], Label(N_("Kind of agent"))] = "worker"
    first_task: Annotated[Name | None, Label(N_("First task"), FieldKind.LINE)] = None

    def to_fields(self) -> AgentCreate:
        """Return the agent to create."""
        return AgentCreate.parse(
            {
                "name": self.name,
                "is_board_lead": self.kind == "lead",
                "identity_profile": self.model_dump(include=set(PROFILE_FIELDS)),
                "heartbeat_config": {
                    "every": self.every,
                    "target": "last",
                    "includeReasoning": False,
                },
            }
        )


class AgentEditForm(AgentForm, Patch):
    """Changes of an agent."""

    may_be_empty = True

    def to_fields(self, agent: Agent) -> AgentUpdate:
        """Return the changes. What the form does not change in the profile stays as it is."""
        changes = self.changes()
        profile = {name: changes.pop(name) for name in PROFILE_FIELDS if name in changes}
        if profile:
            changes["identity_profile"] = (agent.identity_profile or {}) | profile
        if "every" in changes:
            every = {"every": changes.pop("every")}
            changes["heartbeat_config"] = (agent.heartbeat_config or {}) | every
        return AgentUpdate.of(**changes)


def list_edited_fields(agent: Agent) -> list[EditedField]:
    """Return the current values of an agent as its form shows them."""
    profile, heartbeat = agent.identity_profile or {}, agent.heartbeat_config or {}
    defaults = AgentForm.model_fields
    values = {
        "role": profile.get("role"),
        "every": heartbeat.get("every") or defaults["every"].default,
        "emoji": profile.get("emoji") or defaults["emoji"].default,
        "communication_style": profile.get("communication_style"),
    }
    return [
        field._replace(column=COLUMNS.get(field.name, ""))
        for field in object_forms.list_edited_fields(AgentForm, agent, values)
    ]
