"""Tokens: by which the agents are known. Each is shown once and kept as a fingerprint."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.secrets import fingerprint, new_token, prefix
from models import Agent, AgentToken, EventType, Member
from services import events, provisioning
from services.agents.finding import hold


async def issue_token(session: AsyncSession, member: Member, agent_id: UUID) -> str | None:
    """Make a token for an agent. The older ones die when this one is first used.

    That of an agent on a gateway is written into its files there, and shown to nobody.

    Raises NotFound, Forbidden to who may not change the agent, and Conflict if it is moved
    meanwhile.
    """
    agent, held = await hold(session, member, agent_id)
    token = None
    if agent.desired_state is None:
        token = await add_token(session, agent)
    else:
        await provisioning.ask(session, Agent.id == agent.id, rotate=True)
    await events.record(
        session,
        EventType.AGENT_TOKEN_ISSUED,
        member.user,
        organization_id=agent.organization_id,
        board=held[agent.board_id] if agent.board_id else None,
        about=agent,
        data={"name": agent.name},
    )
    return token


async def add_token(session: AsyncSession, agent: Agent) -> str:
    """Give an agent another token, and return it: it cannot be read again."""
    token = new_token("agent")
    session.add(
        AgentToken(
            agent=agent,
            prefix=prefix(token),
            secret_hash=fingerprint(token),
            created_at=now(),
        )
    )
    await session.flush()
    return token
