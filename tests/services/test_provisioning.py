"""Agents on gateways: what their gateway is asked for."""

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board
from services import agents, boards
from services.agents import AgentDraft
from tests.world import World, a_gateway, a_main


@pytest.fixture
async def board(session: AsyncSession, world: World) -> Board:
    """Launch, on a gateway that an agent looks after."""
    gateway = a_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    session.add_all(a_main(gateway))
    await session.flush()
    held = await boards.hold(session, world.alice, world.board.id)
    return await boards.change(session, world.alice, held, {"gateway_id": gateway.id})


async def test_an_agent_is_known_on_its_gateway_by_a_name_that_never_changes(
    session: AsyncSession, world: World, board: Board
) -> None:
    """Contract, agents 14.1 and 14.2."""
    draft = AgentDraft(name="Writer")
    worker, _ = await agents.create(session, world.alice, board, draft)
    assert worker.openclaw_session_id == f"agent:mc-{worker.id}:main"
    assert worker.gateway_key == f"mc-{worker.id}"
    lead = agents.new_lead(board, draft)
    assert (lead.gateway_key, Agent().gateway_key) == (f"lead-{board.id}", None)
    assert Agent(openclaw_session_id="agent::main").gateway_key is None
