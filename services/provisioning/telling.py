"""What is recorded of agents on their way to a gateway and back, and what they are told."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, AgentStatus, DesiredState, EventType, Step
from services import events, messages
from services.provisioning.rules import Change


def of(agent: Agent, change: Change) -> list[events.Happened]:
    """Return what is to be recorded of a change of an agent that stands as it did before it."""
    failure = change.get("provision_failure")
    if failure and failure != agent.provision_failure:
        return [_happened(_failed(agent), agent, reason=failure["reason"], step=failure["step"])]
    if "lost_at" in change.get("written", {}) and "generation" in change:
        return [_happened(EventType.AGENT_LOST, agent)]
    if agent.step is Step.SCRATCH and "observed_generation" in change:
        first = agent.observed_generation == 0
        done = EventType.AGENT_PROVISIONED if first else EventType.AGENT_BROUGHT_UP_TO_DATE
        return [_happened(done, agent)]
    if agent.provision_failure and "provision_failure" in change:
        return [_happened(EventType.AGENT_BROUGHT_UP_TO_DATE, agent)]
    return []


def back(agent: Agent) -> events.Happened:
    """Tell that an agent is there again, because its gateway has it."""
    left, entered = AgentStatus.OFFLINE.value, AgentStatus.ONLINE.value
    return _happened(EventType.AGENT_STATUS_CHANGED, agent, **{"from": left, "to": entered})


def removed(agent: Agent) -> events.Happened:
    """Tell that an agent is gone from its gateway, and from here."""
    return _happened(EventType.AGENT_DELETED, agent)


def hello(agent: Agent, text: str) -> messages.Draft:
    """Make the message with which an agent begins. Each wake is a message of its own."""
    return messages.Draft(
        to=agent.id,
        kind=messages.texts.WAKE_UP,
        content=text,
        key=f"hello:{agent.id}:{agent.generation}:{agent.wake_attempts}",
        deliver=True,
        told=EventType.AGENT_WOKEN,
        data={"name": agent.name},
    )


async def record(session: AsyncSession, happened: Sequence[events.Happened]) -> None:
    """Record it, last in a transaction."""
    if happened:
        await events.record_all(session, happened)


def _failed(agent: Agent) -> EventType:
    if agent.desired_state is DesiredState.GONE:
        return EventType.AGENT_DELETE_FAILED
    first = agent.observed_generation == 0
    return EventType.AGENT_PROVISION_FAILED if first else EventType.AGENT_UPDATE_FAILED


def _happened(type: EventType, agent: Agent, **more: object) -> events.Happened:
    return events.Happened(
        type,
        None,
        organization_id=agent.organization_id,
        board=agent.board_id,
        about=agent,
        data={"name": agent.name, **more},
    )
