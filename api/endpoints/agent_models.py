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
from api.framework.handler import RequestContext
from core.clock import now
from core.json_responses import Encoded, encode_page, json_id, json_time
from core.paging import Page
from models import Agent, Gateway
from services import agents, gateways
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
    last_error: FailureRead | None = Field(
        description="Why the last attempt failed, while the step is retried."
    )
    kept_files: list[str] = Field(
        description="Files that are not overwritten, because the agent changed them."
    )


class HoldRead(ResponseModel):
    """Why an agent is held: by a circuit breaker, or paused by a person.

    Its messages wait until a person releases it. A paused agent takes and moves no tasks either.
    """

    cause: HoldCause = Field(
        description="`messages`: it received too many. `loop`: it and another agent answer each "
        "other. `failures`: its last runs on the same task failed. `person`: a person has paused "
        "it."
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
    away: bool = Field(
        description="Its gateway is unreachable, and it has not called since: what it does is"
        " unknown. Instead of `online` its status is then `offline`."
    )
    away_since: Timestamp | None = Field(description="Null: it is not away.")
    is_linked: bool = Field(
        description="It existed on its gateway before; nothing is written there."
    )
    first_call_due_at: Timestamp | None = Field(
        description="When an agent that no gateway starts is offline if it has not called. Null:"
        " it has called, or its gateway starts it."
    )
    wake_attempts: int = Field(description="Number of wake-ups since its last heartbeat.")
    evidence: EvidenceRead
    provisioning: ProvisioningRead | None = Field(
        description="Progress on its gateway; null for an agent without provisioning."
    )
    last_provision_error: str | None
    hold: HoldRead | None = Field(description="Null: it is neither held nor paused.")
    token_expires_at: Timestamp | None = Field(
        description="When its newest token ends. Null: it has no end."
    )

    @classmethod
    def of(cls, agent: Agent, gateway: Gateway | None, context: RequestContext) -> "AgentRead":
        """Build the model from an agent and its gateway."""
        return cls(**build_agent_fields(agent, gateway, context))


class AgentCreated(AgentRead):
    """A new agent and its token, which is never returned again."""

    token: str | None = Field(
        description="Returned once. Null if the agent already existed, and for one on a gateway,"
        " where the token is written to its files."
    )


def build_agent_fields(
    agent: Agent, gateway: Gateway | None, context: RequestContext
) -> dict[str, Any]:
    """Return the fields of an AgentRead, in the order of the model."""
    moment, offline_after = now(), context.offline_after
    away_since = agents.find_away_since(agent, gateway, moment)
    evidence, failure = agents.find_status_evidence(agent, moment), agent.provision_failure
    return {
        "board_id": json_id(agent.board_id),
        "name": agent.name,
        "status": agents.compute_status(agent, gateway, moment, offline_after),
        "heartbeat_config": agent.heartbeat_config,
        "identity_profile": agent.identity_profile,
        "identity_template": agent.identity_template,
        "soul_template": agent.soul_template,
        "id": json_id(agent.id),
        "gateway_id": json_id(agent.gateway_id),
        "is_board_lead": agent.is_board_lead,
        "is_gateway_main": agent.board_id is None,
        "openclaw_session_id": agent.openclaw_session_id,
        "last_seen_at": json_time(agent.last_seen_at),
        "created_at": json_time(agent.created_at),
        "updated_at": json_time(agent.updated_at),
        "is_late": agents.is_late(agent, gateway, moment, offline_after),
        "away": away_since is not None,
        "away_since": json_time(away_since),
        "is_linked": agent.is_linked,
        "first_call_due_at": json_time(agents.first_call_deadline(agent, offline_after)),
        "wake_attempts": agent.wake_attempts,
        "evidence": {"by": evidence.source, "at": json_time(evidence.at)},
        "provisioning": _build_provisioning_fields(agent, moment),
        "last_provision_error": failure["reason"] if failure else None,
        "hold": _build_hold_fields(agent),
        "token_expires_at": json_time(agent.token_expires_at),
    }


async def encode_agent(agent: Agent, context: RequestContext) -> Encoded[AgentRead]:
    """Return the response for one agent."""
    return Encoded(build_agent_fields(agent, await load_agent_gateway(agent, context), context))


async def load_agent_gateway(agent: Agent, context: RequestContext) -> Gateway | None:
    """Return the gateway of an agent, which determines its status; None if it has none."""
    return (await gateways.load_agent_gateways(context.source, [agent])).get(agent.gateway_id)


def encode_agent_page(page: Page[Agent], context: RequestContext) -> Encoded[Page[AgentRead]]:
    """Return the response for a page of agents that were loaded with their gateways."""
    return encode_page(page, lambda agent: build_agent_fields(agent, agent.gateway, context))


def encode_created_agent(
    agent: Agent, gateway: Gateway | None, token: str | None, context: RequestContext
) -> Encoded[AgentCreated]:
    """Return the response for an agent that may have been created just now."""
    return Encoded(build_agent_fields(agent, gateway, context) | {"token": token})


def encode_calling_agent(agent: Agent, context: RequestContext) -> Encoded[AgentRead]:
    """Return the response for an agent that has called just now, so that it is not away."""
    return Encoded(build_agent_fields(agent, None, context))


def _build_hold_fields(agent: Agent) -> dict[str, Any] | None:
    if agent.hold is None or agent.held_at is None:
        return None
    return {
        "cause": agent.hold["cause"],
        "reason": agent.hold["reason"],
        "since": json_time(agent.held_at),
    }


def _build_provisioning_fields(agent: Agent, moment: datetime) -> dict[str, Any] | None:
    """Return the fields of a ProvisioningRead, or None for an agent without a gateway."""
    state = provisioning.provisioning_status(agent, moment)
    if state is None:
        return None
    return {
        "state": state,
        "desired_state": agent.desired_state,
        "generation": agent.generation,
        "observed_generation": agent.observed_generation,
        "step": agent.step,
        "attempts": agent.step_attempts,
        "next_try_at": json_time(agent.next_step_at),
        "deadline": json_time(agent.step_deadline_at),
        "failure": _build_failure_fields(agent.provision_failure),
        "last_error": _build_failure_fields(agent.step_error),
        "kept_files": list(agent.provisioning_state.kept_files),
    }


def _build_failure_fields(failure: dict[str, Any] | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    fields = {name: failure[name] for name in ("step", "code", "reason", "command")}
    return fields | {"at": json_time(datetime.fromisoformat(failure["at"]))}
