"""Leads that come with a board's goal."""

from kit.clock import now
from kit.values import checked
from models import Actor, Agent, AgentStatus, Board, EventType, new_id
from services import events
from services.agents.fields import CHECKS, AgentDraft


def new_lead(board: Board, draft: AgentDraft) -> Agent:
    """Make the lead of a board that is held and has none, without a token. Raises Invalid."""
    at = now()
    return Agent(
        id=new_id(),
        organization_id=board.organization_id,
        board_id=board.id,
        gateway_id=board.gateway_id,
        status=AgentStatus.PROVISIONING,
        is_board_lead=True,
        created_at=at,
        updated_at=at,
        **checked(CHECKS, vars(draft)),
    )


def created(actor: Actor, board: Board, agent: Agent) -> events.Happened:
    """Return what is to be recorded of an agent that was made for a board."""
    return events.Happened(
        EventType.AGENT_CREATED,
        actor,
        organization_id=board.organization_id,
        board=board,
        about=agent,
        data={"name": agent.name, "lead": agent.is_board_lead},
    )
