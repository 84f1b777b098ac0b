"""Event records about agents."""

from collections.abc import Sequence
from uuid import UUID

from models import Actor, Agent, Board, EventType
from services import events


def agent_event(
    type: EventType, actor: Actor | None, board: Board | UUID | None, agent: Agent, **more: object
) -> events.NewEvent:
    """Build an event about an agent. Without an actor, the agent itself or the system caused it."""
    return events.NewEvent(
        type,
        actor,
        organization_id=agent.organization_id,
        board=board,
        subject=agent,
        data={"name": agent.name, **more},
    )


def status_changed_event(
    agent: Agent, board: Board | None, before: str, after: str, *, code: str | None = None
) -> events.NewEvent:
    """Build the event about a computed status that has changed without an actor."""
    change = {"from": before, "to": after} | ({"code": code} if code else {})
    return agent_event(EventType.AGENT_STATUS_CHANGED, None, board, agent, **change)


def agent_created_event(actor: Actor, board: Board, agent: Agent) -> events.NewEvent:
    """Build the event about a new agent of a board."""
    lead = agent.is_board_lead
    return agent_event(EventType.AGENT_CREATED, actor, board, agent, lead=lead)


def agent_updated_event(
    actor: Actor, board: Board | None, agent: Agent, fields: Sequence[str]
) -> events.NewEvent:
    """Build the event about fields of an agent that have changed."""
    return agent_event(EventType.AGENT_UPDATED, actor, board, agent, changed=list(fields))
