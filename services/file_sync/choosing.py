"""Which agents of a gateway are to have their files anew.

They are those of boards that who asks may change, and of no board that is paused: its agents are to
be left in peace. Who is on a gateway without being ours is never written to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, DesiredState, Gateway, Member
from services import boards


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody wants of a sync."""

    include_main: bool = True
    lead_only: bool = False
    reset_sessions: bool = False
    rotate_tokens: bool = False
    overwrite: bool = False
    board_id: UUID | None = None


@dataclass(frozen=True)
class Place:
    """A board on the gateway, as who asks stands to it."""

    may_change: bool
    is_paused: bool


@dataclass(frozen=True)
class Chosen:
    """Whose files are looked at: the agents of boards, oldest first, then the gateway's own.

    `sees_all` says whether who asks may read every board on the gateway: its agent is told of all.
    `lacks_main` says that the gateway has no agent of its own, and is to have one.
    """

    agents: Sequence[Agent] = ()
    skipped: int = 0
    sees_all: bool = True
    lacks_main: bool = False
    trouble: str | None = None  # why there is nobody


async def choose(session: AsyncSession, member: Member, gateway: Gateway, wish: Wish) -> Chosen:
    """Return the agents that a sync is about."""
    places = await _places(session, member, gateway)
    if wish.board_id is not None and not _may_change(places, wish.board_id):
        return Chosen(trouble="This board is not on this gateway, or not yours to change.")
    query = select(Agent).where(
        Agent.gateway_id == gateway.id,
        Agent.organization_id == gateway.organization_id,
    )
    order = (Agent.board_id.is_(None), Agent.created_at, Agent.id)
    everybody = (await session.scalars(query.order_by(*order))).all()
    asked_for = [agent for agent in everybody if is_asked_for(agent, wish)]
    taken = [agent for agent in asked_for if may_be_written(agent, places)]
    has_main = any(agent.board_id is None for agent in everybody)
    return Chosen(
        taken,
        skipped=len(asked_for) - len(taken),
        sees_all=all(place.may_change for place in places.values()),
        lacks_main=wish.include_main and not has_main,
    )


def is_asked_for(agent: Agent, wish: Wish) -> bool:
    """Say whether an agent is among those that are meant. Who is about to go is not."""
    if agent.desired_state is DesiredState.GONE:
        return False
    if agent.board_id is None:
        return wish.include_main
    if wish.board_id is not None and agent.board_id != wish.board_id:
        return False
    return agent.is_board_lead or not wish.lead_only


def may_be_written(agent: Agent, places: Mapping[UUID, Place]) -> bool:
    """Say whether anything of an agent may be written on its gateway now."""
    if agent.is_linked or agent.desired_state is None:
        return False
    place = places.get(agent.board_id) if agent.board_id else Place(True, is_paused=False)
    return place is not None and place.may_change and not place.is_paused


async def _places(session: AsyncSession, member: Member, gateway: Gateway) -> Mapping[UUID, Place]:
    seen = boards.seen_by(member.user).subquery()
    query = select(seen.c.id, seen.c.reads & seen.c.writes, seen.c.paused_at).where(
        seen.c.gateway_id == gateway.id, seen.c.organization_id == gateway.organization_id
    )
    rows = await session.execute(query)
    return {id: Place(bool(may), paused is not None) for id, may, paused in rows}


def _may_change(places: Mapping[UUID, Place], board_id: UUID) -> bool:
    place = places.get(board_id)
    return place is not None and place.may_change
