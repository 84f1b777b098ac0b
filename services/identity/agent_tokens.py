"""The tokens of agents. The first use of a newer one ends the older."""

import asyncio
from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from kit.clock import now
from kit.secrets import fingerprint, fits_pbkdf2, prefix, same
from models import Agent, AgentToken
from services.identity.tokens import can_be_token

SHORTEST_KEPT = 40  # characters of an imported token; the prefix would tell too much of a shorter


async def agent_with_token(session: AsyncSession, token: str) -> Agent | None:
    """Return the agent to whom a token was given.

    The first use of a token ends the agent's older ones. A token that was imported with its PBKDF2
    hash is known too, and becomes one of ours by its first use.
    """
    if not can_be_token(token):
        return None
    agent = await _with_token_of_ours(session, token)
    if agent is None and not token.startswith("mc_"):
        agent = await _with_imported_token(session, token)
        # Another call may have made it one of ours between these two looks.
        return agent or await _with_token_of_ours(session, token)
    return agent


async def _with_token_of_ours(session: AsyncSession, token: str) -> Agent | None:
    query = (
        select(AgentToken)
        .join(AgentToken.agent)
        .options(contains_eager(AgentToken.agent))
        .where(AgentToken.prefix == prefix(token))
    )
    kept = fingerprint(token)
    for found in (await session.scalars(query)).all():
        if same(found.secret_hash, kept):
            return found.agent if await _note_first_use(session, found) else None
    return None


async def _note_first_use(session: AsyncSession, token: AgentToken) -> bool:
    """Note the first use of a token, and say whether the token was still there to be used.

    The agent's row is locked before its tokens, as its deletion does: in the other order the two
    would wait for each other.
    """
    if token.first_used_at is not None:
        return True
    owner = select(Agent.id).where(Agent.id == token.agent_id)
    await session.execute(owner.with_for_update(key_share=True))
    used = update(AgentToken).where(AgentToken.id == token.id).returning(AgentToken.id)
    if await session.scalar(used.values(first_used_at=now())) is None:
        return False
    older = delete(AgentToken).where(
        AgentToken.agent_id == token.agent_id, AgentToken.created_at < token.created_at
    )
    await session.execute(older)
    await _forget_imported_hash(session, token.agent)
    return True


async def _with_imported_token(session: AsyncSession, token: str) -> Agent | None:
    agents = (await session.scalars(select(Agent).where(Agent.agent_token_hash.is_not(None)))).all()
    agent = await asyncio.to_thread(_whose, token, agents)
    if agent and len(token) >= SHORTEST_KEPT and await _forget_imported_hash(session, agent):
        ours = AgentToken(
            agent=agent,
            prefix=prefix(token),
            secret_hash=fingerprint(token),
            created_at=agent.created_at,  # older than whatever we have given since
            first_used_at=now(),
        )
        session.add(ours)
        await session.flush()
    return agent


def _whose(token: str, agents: Sequence[Agent]) -> Agent | None:
    """Return the agent whose hash fits; every one of them costs some 50 ms."""
    return next((one for one in agents if fits_pbkdf2(token, one.agent_token_hash or "")), None)


async def _forget_imported_hash(session: AsyncSession, agent: Agent) -> bool:
    """Forget an agent's PBKDF2 hash, and say whether there was one until now."""
    forgotten = update(Agent).where(Agent.id == agent.id, Agent.agent_token_hash.is_not(None))
    forgotten = forgotten.values(agent_token_hash=None).returning(Agent.id)
    return await session.scalar(forgotten) is not None
