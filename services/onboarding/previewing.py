"""What a goal and its lead would come to, before anybody confirms: nothing of it is kept."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board, Gateway, User
from services import agent_files
from services.onboarding.confirming import (
    Goal,
    asks_for_approval,
    facts_of,
    known_of,
    new_lead,
)


@dataclass(frozen=True)
class Preview:
    """What the lead of a board would be told, and what it may do.

    `on_gateway` says whether somebody writes that into files. Without a gateway, whoever runs the
    lead tells it what they like.
    """

    name: str
    told: agent_files.Preview
    asks_for_approval: bool
    on_gateway: bool


async def preview(
    session: AsyncSession, user: User, board: Board, goal: Goal, *, base_url: str
) -> Preview:
    """Return what `confirm` would make of a goal that this person confirms. Raises Invalid."""
    known, wanted = await facts_of(session, user, board), goal.lead_agent or {}
    lead = await _lead_of(session, board) or new_lead(board, wanted, known)
    approval = asks_for_approval(wanted, known)
    gateway = await session.get(Gateway, board.gateway_id) if board.gateway_id else None
    draft = _draft(lead, goal, gateway, approval=approval)
    told = agent_files.preview(board, user, draft, base_url=base_url, person=known_of(goal, {}))
    return Preview(lead.name, told, approval, gateway is not None)


def _draft(
    lead: Agent, goal: Goal, gateway: Gateway | None, *, approval: bool
) -> agent_files.LeadDraft:
    key = agent_files.session_key(lead)
    return agent_files.LeadDraft(
        name=lead.name,
        profile=lead.identity_profile or {},
        soul=lead.soul_template,
        board_type=goal.board_type,
        objective=goal.objective,
        success_metrics=goal.success_metrics,
        target_date=goal.target_date,
        require_approval_for_done=approval,
        gateway=gateway.name if gateway else "",
        session_key=key,
        workspace=agent_files.workspace(gateway.workspace_root, key) if gateway else "",
    )


async def _lead_of(session: AsyncSession, board: Board) -> Agent | None:
    return await session.scalar(
        select(Agent).where(Agent.board_id == board.id, Agent.is_board_lead)
    )
