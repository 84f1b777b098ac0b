"""Agents that a circuit breaker holds: list them, and release one."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import Agent, Board, EventType, Member
from services import events, messages
from services.agents.events import agent_event
from services.agents.queries import lock_agent
from services.gateways import provisioning


async def list_held_agents(session: AsyncSession, board: Board) -> Sequence[Agent]:
    """Return the agents of a board that a circuit breaker holds, the longest held first."""
    query = select(Agent).where(Agent.board_id == board.id, Agent.held_at.is_not(None))
    return (await session.scalars(query.order_by(Agent.held_at, Agent.id))).all()


async def list_releasable_agent_ids(session: AsyncSession, member: Member) -> Sequence[UUID]:
    """Return the agents of the organization that the member can release, the longest held first."""
    if not member.is_admin:
        return []
    query = select(Agent.id).where(
        Agent.organization_id == member.organization_id, Agent.held_at.is_not(None)
    )
    return (await session.scalars(query.order_by(Agent.held_at, Agent.id))).all()


async def release_agent(session: AsyncSession, member: Member, agent_id: UUID) -> Agent:
    """Release an agent: its messages are delivered. An agent that is not held is left unchanged.

    The circuit breakers count anew from now on. Only admins release agents. Raises NotFound and
    Forbidden.
    """
    agent, locked = await lock_agent(session, member, agent_id)
    await session.refresh(agent, ["held_at"], with_for_update={"key_share": True})
    since = agent.held_at
    if since is None:
        return agent
    agent.held_at = agent.hold = None
    agent.released_at = agent.updated_at = now()
    await session.flush()
    if agent.wants_wake:
        await provisioning.request_sync(session, Agent.id == agent.id)
    queued = await messages.release_messages(session, Agent.id == agent.id, since)
    board = locked[agent.board_id] if agent.board_id else None
    released = agent_event(EventType.AGENT_RELEASED, member.user, board, agent)
    await events.record_events(session, [released, *queued])
    return agent
