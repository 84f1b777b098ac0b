"""Event records and messages of provisioning."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, AgentStatus, EventType
from services import events, messages
from services.gateways.provisioning.state_machine import Transition


def transition_events(agent: Agent, transition: Transition) -> list[events.NewEvent]:
    """Return the event of a transition, if it records one."""
    if transition.event is None:
        return []
    return [_agent_event(transition.event, agent, **transition.event_data)]


def agent_back_online(agent: Agent) -> events.NewEvent:
    """Return the event that an agent is online again, because its gateway lists it."""
    left, entered = AgentStatus.OFFLINE.value, AgentStatus.ONLINE.value
    return _agent_event(EventType.AGENT_STATUS_CHANGED, agent, **{"from": left, "to": entered})


def agent_removed(agent: Agent) -> events.NewEvent:
    """Return the event that an agent was removed from its gateway and deleted."""
    return _agent_event(EventType.AGENT_DELETED, agent)


def wake_message(agent: Agent, text: str) -> messages.OutgoingMessage:
    """Return the message that starts an agent. Each wake attempt is a message of its own."""
    return messages.OutgoingMessage(
        to=agent.id,
        kind=messages.templates.WAKE_UP_KIND,
        content=text,
        key=f"hello:{agent.id}:{agent.generation}:{agent.wake_attempts}",
        deliver=True,
        on_delivered=EventType.AGENT_WOKEN,
        event_data={"name": agent.name},
    )


def heartbeat_message(agent: Agent, text: str) -> messages.OutgoingMessage:
    """Return the message with which an agent works without being asked. It is sent once."""
    at = agent.next_heartbeat_at
    assert at is not None
    return messages.OutgoingMessage(
        to=agent.id,
        content=f"{messages.templates.MessageMarker.HEARTBEAT}\n\n{text}",
        key=f"heartbeat:{agent.id}:{at.isoformat()}",
    )


async def record_if_any(session: AsyncSession, new_events: Sequence[events.NewEvent]) -> None:
    """Record events, if there are any, at the end of a transaction."""
    if new_events:
        await events.record_events(session, new_events)


def _agent_event(type: EventType, agent: Agent, **more: object) -> events.NewEvent:
    return events.NewEvent(
        type,
        None,
        organization_id=agent.organization_id,
        board=agent.board_id,
        subject=agent,
        data={"name": agent.name, **more},
    )
