"""The boards of a group with their agents, held for what concerns all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Forbidden
from models import Actor, Agent, Board, BoardGroup, Member, Role
from services import agents
from services.board_groups.access import hold_as_admin, not_found


@dataclass(frozen=True)
class Crews:
    """The agents that work on the boards of a group, each with its board, which is held."""

    agents: Sequence[tuple[Agent, Board]]


async def hold_crews(session: AsyncSession, actor: Actor, group_id: UUID) -> Crews:
    """Hold the boards of a group, for an admin of its organization or one of its agents.

    Whoever is neither gets no boards; whether they may act, they have to ask of the group.
    """
    of_group = select(Board).where(Board.board_group_id == group_id).order_by(Board.id)
    theirs = of_group.where(Board.organization_id.in_(_organizations(actor)))
    held = theirs.with_for_update(key_share=True).execution_options(populate_existing=True)
    found = {board.id: board for board in await session.scalars(held)}
    crew = select(Agent).where(Agent.board_id.in_(found)).order_by(Agent.board_id, Agent.name)
    there = await session.scalars(crew.execution_options(populate_existing=True))
    return Crews([(agent, found[agent.board_id]) for agent in there if agent.board_id])


async def hold_to_steer(session: AsyncSession, actor: Actor, group_id: UUID) -> Crews:
    """Hold a group's boards for who may say how all its agents work.

    That is an admin who may change the group, and the lead of one of its boards. Raises NotFound
    and Forbidden.
    """
    crews = await hold_crews(session, actor, group_id)
    if isinstance(actor, Agent):
        await _leads_there(session, actor, group_id, crews)
    else:
        await hold_as_admin(session, actor, group_id)
    return crews


async def check_in(
    session: AsyncSession, actor: Actor, crews: Crews, *, every: str, include_board_leads: bool
) -> Sequence[UUID]:
    """Let agents whose boards are held check in as often as this, and return their ids.

    Raises Invalid.
    """
    meant = [
        (agent, board)
        for agent, board in crews.agents
        if include_board_leads or not agent.is_board_lead
    ]
    await agents.set_cadence(session, actor, meant, every)
    return [agent.id for agent, _ in meant]


async def _leads_there(session: AsyncSession, agent: Agent, group_id: UUID, crews: Crews) -> None:
    """Raise unless an agent leads one of these boards now, whatever it was when it called."""
    if any(one.id == agent.id and one.is_board_lead for one, _ in crews.agents):
        return
    known = select(BoardGroup.id).where(
        BoardGroup.id == group_id, BoardGroup.organization_id == agent.organization_id
    )
    if await session.scalar(known) is None:
        raise not_found()
    raise Forbidden("lead_required", "Only the lead of a board of this group can do that.")


def _organizations(actor: Actor) -> Any:
    """Return the organizations in which an actor may ask for all boards of a group."""
    if isinstance(actor, Agent):
        return [actor.organization_id]
    mine = select(Member.organization_id).where(Member.user_id == actor.id)
    return mine.where(Member.role.in_((Role.OWNER, Role.ADMIN)))
