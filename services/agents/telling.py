"""What is recorded of agents."""

from uuid import UUID

from models import Actor, Agent, Board, EventType
from services import events


def happened(
    type: EventType, actor: Actor | None, board: Board | UUID | None, agent: Agent, **more: object
) -> events.Happened:
    """Tell what happened to an agent of a board, or of none; without an actor, by itself."""
    return events.Happened(
        type,
        actor,
        organization_id=agent.organization_id,
        board=board,
        about=agent,
        data={"name": agent.name, **more},
    )
