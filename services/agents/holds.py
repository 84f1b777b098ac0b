"""Agents that a circuit breaker holds or a person has paused: list, pause and release them."""

from collections.abc import Sequence
from operator import itemgetter
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from models import Agent, Board, EventType, Member
from services import desired_state, events, messages
from services.agents.events import agent_event
from services.agents.queries import lock_agent


async def list_held_agents(source: Source, board: Board) -> Sequence[Agent]:
    """Return the agents of a board that are held or paused, the longest held first."""
    return await HELD_AGENTS.fetch(source, board_id=board.id)


LONGEST_HELD_FIRST = (Agent.held_at, Agent.id)
HELD_AGENTS: Query[Agent] = Query(
    select(Agent)
    .where(Agent.board_id == bindparam("board_id"), Agent.held_at.is_not(None))
    .order_by(*LONGEST_HELD_FIRST),
    itemgetter(0),
)


HELD_IDS: Query[UUID] = Query(
    select(Agent.id)
    .where(Agent.organization_id == bindparam("organization_id"), messages.IS_HELD_BY_BREAKER)
    .order_by(Agent.held_at, Agent.id),
    itemgetter(0),
)
"""The ids of the agents of an organization that circuit breakers hold, the longest held first."""


async def pause_agent(session: AsyncSession, member: Member, agent_id: UUID) -> Agent:
    """Pause an agent: its messages wait, and it takes no tasks, until a person resumes it.

    An agent that a circuit breaker holds is paused instead, a paused one is left unchanged. No
    message is claimed and no task is taken after the commit. Only admins pause agents. Raises
    NotFound and Forbidden.
    """
    agent, locked = await lock_agent(session, member, agent_id)
    await session.refresh(agent, ["held_at", "hold"], with_for_update=True)
    if messages.is_pause(agent.hold):
        return agent
    at = now()
    agent.held_at, agent.hold = agent.held_at or at, messages.build_pause(member.user)
    agent.updated_at = at
    await session.flush()
    await desired_state.request_sync(session, Agent.id == agent.id)
    board = locked[agent.board_id] if agent.board_id else None
    paused = agent_event(EventType.AGENT_PAUSED, member.user, board, agent)
    await events.record_events(session, [paused])
    return agent


async def release_agent(session: AsyncSession, member: Member, agent_id: UUID) -> Agent:
    """Release or resume an agent: its messages are delivered. Another one is left unchanged.

    The circuit breakers count anew from now on. Only admins release agents. Raises NotFound and
    Forbidden.
    """
    agent, locked = await lock_agent(session, member, agent_id)
    await session.refresh(agent, ["held_at", "hold"], with_for_update={"key_share": True})
    since, is_paused = agent.held_at, messages.is_pause(agent.hold)
    if since is None:
        return agent
    agent.held_at = agent.hold = None
    agent.released_at = agent.updated_at = now()
    await session.flush()
    if agent.wants_wake or is_paused:
        await desired_state.request_sync(session, Agent.id == agent.id)
    queued = await messages.release_messages(session, Agent.id == agent.id, since)
    board = locked[agent.board_id] if agent.board_id else None
    type = EventType.AGENT_RESUMED if is_paused else EventType.AGENT_RELEASED
    released = agent_event(type, member.user, board, agent)
    await events.record_events(session, [released, *queued])
    return agent
