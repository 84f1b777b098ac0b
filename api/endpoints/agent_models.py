"""Response models of agents: status, evidence and provisioning."""

from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from api.framework.fields import (
    JsonObject,
    RequestModel,
    ResponseModel,
    Timestamp,
)
from api.framework.operation import RequestContext
from core.clock import now
from models import Agent
from services import agents
from services.gateways import provisioning
from services.messages import HoldCause


class EvidenceRead(ResponseModel):
    """The evidence for the status of an agent, and its time."""

    by: Literal["call", "gateway", "failure", "waiting", "nothing"] = Field(
        description="`call`: it called the API. `gateway`: its gateway has it. `failure`: it could"
        " not be provisioned. `waiting`: its gateway is unreachable. `nothing`: no evidence yet."
    )
    at: Timestamp | None


class FailureRead(ResponseModel):
    """Why provisioning of an agent fails, and what helps."""

    step: str = Field(description="The step that failed.")
    code: str = Field(description="The cause, for programs.")
    reason: str
    command: str | None = Field(
        description="A command for the gateway's machine that helps, if any."
    )
    at: Timestamp = Field(description="Time of the first failure.")


class ProvisioningRead(ResponseModel):
    """The desired state of an agent on its gateway, and the progress."""

    state: Literal["done", "working", "waiting", "paused", "failed", "removing"]
    desired_state: Literal["running", "gone"]
    generation: int = Field(description="Increases with each requested state.")
    observed_generation: int = Field(
        description="The last generation that was completed on the gateway."
    )
    step: str | None = Field(
        description="The next step: `create`, `listed`, `name`, `files`, `heartbeat`, `scratch`,"
        " `wake` or `check_in`; or `remove`. Null: none."
    )
    attempts: int = Field(description="Failed attempts of this step.")
    next_try_at: Timestamp | None
    deadline: Timestamp | None = Field(
        description="When the step counts as failed if it is not complete."
    )
    failure: FailureRead | None
    kept_files: list[str] = Field(
        description="Files that are not overwritten, because the agent changed them."
    )


class HoldRead(ResponseModel):
    """Why a circuit breaker holds an agent. Its messages wait until a person releases it."""

    cause: HoldCause = Field(
        description="`messages`: it received too many. `loop`: it and another agent answer each "
        "other. `failures`: its last runs on the same task failed."
    )
    reason: str
    since: Timestamp


class AgentProvisioningRequest(RequestModel):
    """Options for provisioning an agent again."""

    component: ClassVar[str] = "Bringing"

    example = {"wake": True}

    wake: bool = Field(default=False, description="Also start a turn of the agent at once.")
    overwrite: bool = Field(
        default=False,
        description="Overwrite the agent's changes in AGENTS.md, SOUL.md, IDENTITY.md.",
    )


def build_agent_state_fields(agent: Agent, now: datetime) -> dict[str, Any]:
    """Return the fields of an AgentRead that describe status and provisioning."""
    failure = agent.provision_failure
    evidence = agents.find_status_evidence(agent, now)
    return {
        "evidence": EvidenceRead(by=evidence.source.value, at=evidence.at),
        "provisioning": build_provisioning(agent, now),
        "last_provision_error": failure["reason"] if failure else None,
        "hold": _build_hold(agent),
    }


def _build_hold(agent: Agent) -> HoldRead | None:
    if agent.hold is None or agent.held_at is None:
        return None
    return HoldRead(cause=agent.hold["cause"], reason=agent.hold["reason"], since=agent.held_at)


def build_provisioning(agent: Agent, now: datetime) -> ProvisioningRead | None:
    """Return the progress of provisioning, or None for an agent without a gateway."""
    state, desired = provisioning.provisioning_status(agent, now), agent.desired_state
    if state is None or desired is None:
        return None
    failure = agent.provision_failure
    return ProvisioningRead(
        state=state.value,
        desired_state=desired.value,
        generation=agent.generation,
        observed_generation=agent.observed_generation,
        step=agent.step.value if agent.step else None,
        attempts=agent.step_attempts,
        next_try_at=agent.next_step_at,
        deadline=agent.step_deadline_at,
        failure=FailureRead(**failure) if failure else None,
        kept_files=list(agent.provisioning_state.kept_files),
    )


class AgentRead(ResponseModel):
    """An agent with its current status: an agent that is silent for too long is offline."""

    board_id: UUID | None
    name: str
    status: str = Field(
        description="`provisioning`, `online`, `offline`, `deleting`, or a status from the agent."
    )
    heartbeat_config: JsonObject | None
    identity_profile: JsonObject | None
    identity_template: str | None
    soul_template: str | None
    id: UUID
    gateway_id: UUID | None
    is_board_lead: bool
    is_gateway_main: bool
    openclaw_session_id: str | None
    last_seen_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp
    is_late: bool = Field(description="It is online, but its last heartbeat is overdue.")
    is_linked: bool = Field(
        description="It existed on its gateway before; nothing is written there."
    )
    wake_attempts: int = Field(description="Number of wake-ups since its last heartbeat.")
    evidence: EvidenceRead
    provisioning: ProvisioningRead | None = Field(
        description="Progress on its gateway; null for an agent without provisioning."
    )
    last_provision_error: str | None
    hold: HoldRead | None = Field(description="Null: no circuit breaker holds it.")

    @classmethod
    def of(cls, agent: Agent, context: RequestContext) -> "AgentRead":
        """Build the model from an agent."""
        return cls(**build_agent_fields(agent, context))


class AgentCreated(AgentRead):
    """A new agent and its token, which is never returned again."""

    token: str | None = Field(
        description="Returned once. Null if the agent already existed, and for one on a gateway,"
        " where the token is written to its files."
    )


def build_agent_fields(agent: Agent, context: RequestContext) -> dict[str, Any]:
    """Return the fields of an AgentRead."""
    current_time, offline_after = now(), context.offline_after
    state_fields = build_agent_state_fields(agent, current_time)
    computed = {"status", "is_gateway_main", "is_late"}
    names = AgentRead.model_fields.keys() - computed - state_fields.keys()
    return {
        **{name: getattr(agent, name) for name in names},
        **state_fields,
        "status": agents.compute_status(agent, current_time, offline_after),
        "is_late": agents.is_late(agent, current_time, offline_after),
        "is_gateway_main": agent.board_id is None,
    }
