"""Leads that come with a board's goal, and boards without one."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.values import checked
from models import Actor, Agent, AgentStatus, Board, EventType, new_id
from services import events, provisioning
from services.agents.fields import CHECKS, AgentDraft
from services.agents.telling import happened
from services.mentions import LEAD, tokens


def new_lead(board: Board, draft: AgentDraft) -> Agent:
    """Make the lead of a board that is held and has none, without a token. Raises Invalid."""
    at = now()
    lead = Agent(
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
    provisioning.begin(lead)
    return lead


def created(actor: Actor, board: Board, agent: Agent) -> events.Happened:
    """Return what is to be recorded of an agent that was made for a board."""
    lead = agent.is_board_lead
    return happened(EventType.AGENT_CREATED, actor, board, agent, lead=lead)


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """Return a name, with a number behind it if another agent has it already."""
    names = {name.lower() for name in taken}
    name, number = wanted, 2
    while name.lower() in names:
        name, number = f"{wanted} {number}", number + 1
    return name


async def misses_lead(session: AsyncSession, board: Board, text: str) -> bool:
    """Say whether a text calls the lead of a board that has none."""
    if LEAD not in tokens(text):
        return False
    lead = select(Agent.id).where(Agent.board_id == board.id, Agent.is_board_lead)
    return await session.scalar(lead) is None
