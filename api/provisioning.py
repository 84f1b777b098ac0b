"""How agents stand, and how far they are on their way to their gateways, as JSON."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.fields import Answer, Body, Moment
from models import Agent
from services import agents, provisioning


class EvidenceRead(Answer):
    """By what we know how an agent stands, and of when that is."""

    by: Literal["call", "gateway", "failure", "waiting", "nothing"] = Field(
        description="`call`: it has called the API. `gateway`: its gateway has it. `failure`: it"
        " could not be brought there. `waiting`: its gateway is away. `nothing`: no sign of it yet."
    )
    at: Moment | None


class FailureRead(Answer):
    """What is in the way of an agent, and what helps."""

    step: str = Field(description="What was to be done, one of the steps.")
    code: str = Field(description="What was in the way, for machines.")
    reason: str
    command: str | None = Field(description="What to run on the gateway's machine, if that helps.")
    at: Moment = Field(description="Since when it stands so.")


class ProvisioningRead(Answer):
    """What an agent's gateway is asked for, and how far that is done."""

    state: Literal["done", "working", "waiting", "paused", "failed", "removing"]
    desired_state: Literal["running", "gone"]
    generation: int = Field(description="Counts what was asked for.")
    observed_generation: int = Field(description="The last that the gateway has.")
    step: str | None = Field(
        description="What comes next: `create`, `listed`, `name`, `files`, `heartbeat`, `scratch`,"
        " `wake` or `check_in`; or `remove`. Null: nothing."
    )
    attempts: int = Field(description="How often this step was tried in vain.")
    next_try_at: Moment | None
    deadline: Moment | None = Field(description="When the step has failed, if it is not done.")
    failure: FailureRead | None
    kept_files: list[str] = Field(description="Files that the agent has changed, so they stay.")


class Bringing(Body):
    """How an agent is to be brought to its gateway once more."""

    example = {"wake": True}

    wake: bool = Field(default=False, description="Have it begin at once, by a turn of its own.")
    overwrite: bool = Field(
        default=False, description="Write over what it changed in AGENTS.md, SOUL.md, IDENTITY.md."
    )


def standing(agent: Agent, moment: datetime) -> dict[str, Any]:
    """Return the fields of an agent that say how it stands, and how far it is on its way."""
    failure = agent.provision_failure
    known = agents.evidence(agent, moment)
    return {
        "evidence": EvidenceRead(by=known.by.value, at=known.at),
        "provisioning": provisioning_of(agent, moment),
        "last_provision_error": failure["reason"] if failure else None,
    }


def provisioning_of(agent: Agent, moment: datetime) -> ProvisioningRead | None:
    """Return how far an agent is on its way to its gateway, if it is to be on one."""
    state, desired = provisioning.state(agent, moment), agent.desired_state
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
        kept_files=agent.written.get("kept", []),
    )
