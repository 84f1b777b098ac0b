"""The agent that manages a gateway is notified of changes to its boards."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy import delete, select

from core.db.engine import TransactionFactory
from models import Agent, Gateway
from services import agents, boards
from services.boards import BoardCreate
from tests.support.gateway_rows import make_gateway
from tests.support.provisioning_harness import ProvisioningHarness, run_provisioning_harness
from tests.support.world import World


@dataclass
class TwoGateways:
    """Two gateways with an agent each; the first is the one of the harness."""

    harness: ProvisioningHarness
    other: Gateway

    async def agent_file_text(self) -> str:
        """Return the AGENTS.md of the first gateway agent after all requests are done."""
        await self.harness.reconcile_until_idle()
        return self.harness.fake.files[f"mc-gateway-{self.harness.gateway.id}"]["AGENTS.md"]

    async def sync_request_count(self, gateway: Gateway) -> int:
        """Return the number of sync requests for the agent of a gateway."""
        mine = (Agent.gateway_id == gateway.id) & Agent.board_id.is_(None)
        async with self.harness.transaction() as session:
            return await session.scalar(select(Agent.generation).where(mine)) or 0


@pytest.fixture
async def two_gateways(transaction: TransactionFactory, world: World) -> AsyncIterator[TwoGateways]:
    async with run_provisioning_harness(transaction, world) as harness:
        other = make_gateway(world.tern, name="Elsewhere")
        async with transaction() as session:
            session.add(other)
            await session.flush()
            await session.execute(delete(Agent).where(Agent.gateway_id == harness.gateway.id))
            for gateway in (harness.gateway, other):
                await agents.create_gateway_agent(session, gateway)
        await harness.reconcile_until_idle()
        yield TwoGateways(harness, other)


async def test_the_gateway_agent_is_notified_of_a_new_board(
    two_gateways: TwoGateways, world: World
) -> None:
    draft = BoardCreate(
        name="Orchard", description="Trees", gateway_id=two_gateways.harness.gateway.id
    )
    async with two_gateways.harness.transaction() as session:
        await boards.create_board(session, world.alice_member, draft)
    assert "Orchard" in await two_gateways.agent_file_text()


async def test_the_gateway_agent_is_notified_of_a_renamed_board(two_gateways: TwoGateways) -> None:
    assert "Garden" in await two_gateways.agent_file_text()
    await two_gateways.harness.update_board(name="Greenhouse")
    told = await two_gateways.agent_file_text()
    assert "Greenhouse" in told
    assert "Garden" not in told


async def test_the_agents_of_both_gateways_are_notified_of_a_moved_board(
    two_gateways: TwoGateways,
) -> None:
    await two_gateways.harness.update_board(gateway_id=two_gateways.other.id)
    assert "Garden" not in await two_gateways.agent_file_text()
    assert await two_gateways.sync_request_count(two_gateways.other) == 2
    await two_gateways.harness.update_board(gateway_id=two_gateways.harness.gateway.id)
    assert "Garden" in await two_gateways.agent_file_text()
    assert await two_gateways.sync_request_count(two_gateways.other) == 3


async def test_the_gateway_agent_is_notified_of_a_board_that_leaves(
    two_gateways: TwoGateways,
) -> None:
    await two_gateways.harness.update_board(gateway_id=None)
    assert "Garden" not in await two_gateways.agent_file_text()


async def test_the_gateway_agent_is_notified_of_a_deleted_board(
    two_gateways: TwoGateways, world: World
) -> None:
    async with two_gateways.harness.transaction() as session:
        board = await boards.lock_board(session, world.alice, world.garden.id)
        await boards.delete_board(session, world.alice, board)
    assert "Garden" not in await two_gateways.agent_file_text()


async def test_other_gateways_and_other_changes_request_no_sync(two_gateways: TwoGateways) -> None:
    await two_gateways.harness.update_board(slug="the-garden")
    await two_gateways.harness.update_board(name="Greenhouse")
    assert await two_gateways.sync_request_count(two_gateways.harness.gateway) == 2
    assert await two_gateways.sync_request_count(two_gateways.other) == 1
