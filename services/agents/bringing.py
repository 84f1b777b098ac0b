"""Trying again to bring an agent to its gateway, or to be rid of it there."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Conflict
from models import Agent, DesiredState, EventType, Member
from services import events, provisioning
from services.agents.finding import hold
from services.agents.telling import happened


async def bring(
    session: AsyncSession,
    member: Member,
    agent_id: UUID,
    *,
    wake: bool = False,
    overwrite: bool = False,
) -> Agent:
    """Have an agent brought to its gateway as if nothing had been tried, or removed from there.

    `wake` has it begin with a turn, `overwrite` writes over what it changed in its files. Raises
    NotFound, Forbidden, and Conflict for an agent that is not brought to any gateway.
    """
    agent, held = await hold(session, member, agent_id)
    if agent.desired_state is None:
        reason = "This agent is on no gateway, or others brought it there."
        raise Conflict("agent_not_brought", reason)
    if agent.desired_state is DesiredState.GONE:
        await provisioning.leave(session, agent)
    else:
        mine = Agent.id == agent.id
        over = provisioning.MANAGED if overwrite else ()
        await provisioning.ask(session, mine, wake=wake, overwrite=over)
    board = held[agent.board_id] if agent.board_id else None
    asked = happened(EventType.AGENT_UPDATED, member.user, board, agent, changed=["provisioning"])
    await events.record_all(session, [asked])
    return agent
