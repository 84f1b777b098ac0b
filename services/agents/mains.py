"""The agents that look after gateways: one for each, which comes and goes with it."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Agent, AgentStatus, DesiredState, Gateway, new_id
from services import provisioning
from services.agents.rules import DEFAULT_HEARTBEAT

PROFILE = {
    "role": "Gateway Agent",
    "communication_style": "direct, concise, practical",
    "emoji": ":compass:",
}
"""Who it is, until somebody says otherwise (contract, agents 9.2)."""


async def add_main(session: AsyncSession, gateway: Gateway) -> Agent:
    """Write the agent that will look after a gateway. It has no token yet, so it cannot call."""
    at = now()
    main = Agent(
        id=new_id(),
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        name=name_of_main(gateway.name),
        status=AgentStatus.PROVISIONING,
        heartbeat_config=dict(DEFAULT_HEARTBEAT),
        identity_profile=dict(PROFILE),
        created_at=at,
        updated_at=at,
    )
    provisioning.begin(main)
    session.add(main)
    await session.flush()
    return main


async def rename_main(session: AsyncSession, gateway: Gateway, name: str) -> None:
    """Let a gateway's agent be called as the gateway will be, unless people call it otherwise."""
    mine = (Agent.gateway_id == gateway.id) & Agent.board_id.is_(None)
    await provisioning.ask(session, mine)
    named = update(Agent).where(mine, Agent.name == name_of_main(gateway.name))
    await session.execute(named.values(name=name_of_main(name), updated_at=now()))


async def remove_main(session: AsyncSession, gateway_id: UUID) -> Sequence[Agent]:
    """Delete the agent of a gateway, and those that were to go from it; return them."""
    goes = Agent.board_id.is_(None) | (Agent.desired_state == DesiredState.GONE)
    gone = delete(Agent).where(Agent.gateway_id == gateway_id, goes).returning(Agent)
    return (await session.scalars(gone)).all()


def name_of_main(name: str) -> str:
    """Return what the agent of a gateway is called."""
    return f"{name} Gateway Agent"
