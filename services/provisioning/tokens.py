"""The tokens of agents on gateways: they are written into the agents' files, and shown to nobody.

A token that is new is written there first, and the old one lives until the new one is used.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.sealing import Seal, SealBroken
from kit.secrets import fingerprint, new_token, prefix
from models import Agent, AgentToken, new_id
from services.provisioning import rows


async def given(
    session: AsyncSession, seal: Seal, agents: Sequence[Agent]
) -> dict[UUID, tuple[Agent, str]]:
    """Return agents as they are now, by id, with the token that each is to have in its files.

    One that has none, or one that cannot be opened any more, gets another. Who is asked for
    otherwise by now is not among them.
    """
    kept = await known(session, seal, agents)
    found = {}
    for agent in agents:
        fresh, token = agent, kept.get(agent.id)
        if token is None:
            fresh, token = await _mint(session, seal, agent)
        if fresh is not None:
            found[agent.id] = fresh, token
    return found


async def known(session: AsyncSession, seal: Seal, agents: Sequence[Agent]) -> dict[UUID, str]:
    """Return the token that each agent is to have in its files, where it can be opened."""
    query = select(AgentToken).where(
        AgentToken.agent_id.in_([agent.id for agent in agents]), AgentToken.sealed.is_not(None)
    )
    rows_of = {str(token.id): token for token in await session.scalars(query)}
    chosen = {agent.id: rows_of.get(agent.written.get("token", "")) for agent in agents}
    opened = {id: _open(seal, row) for id, row in chosen.items() if row is not None}
    return {id: token for id, token in opened.items() if token is not None}


async def _mint(session: AsyncSession, seal: Seal, agent: Agent) -> tuple[Agent | None, str]:
    """Make a token for an agent, and note that it is the one to be written."""
    id, token = new_id(), new_token("agent")
    written = {**agent.written, "token": str(id)}
    fresh = await rows.advance(session, agent, {"written": written})
    if fresh is not None:
        row = AgentToken(
            id=id,
            agent_id=agent.id,
            prefix=prefix(token),
            secret_hash=fingerprint(token),
            sealed=seal.close(token, place(id)),
            created_at=now(),
        )
        session.add(row)
        await session.flush()
    return fresh, token


def _open(seal: Seal, token: AgentToken) -> str | None:
    try:
        return seal.open(token.sealed or "", place(token.id)).decode()
    except SealBroken:
        return None


def place(token_id: UUID) -> str:
    """Name the place that a token is sealed for."""
    return f"agent_tokens.sealed:{token_id}"
