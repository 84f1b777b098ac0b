"""After a changed connection the gateway may be another one, so its agents are synchronized."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import update

from core.db.engine import TransactionFactory
from models import Agent, Gateway, ProvisioningStep
from openclaw import AddressPolicy, GatewayClient
from services import gateways
from services.gateways import GatewayConnector
from tests.support.fake_agents_gateway import run_fake_agents_gateway
from tests.support.fake_gateway import TOKEN, create_target
from tests.support.provisioning_harness import (
    QUICK_POLICY,
    ProvisioningHarness,
    run_provisioning_harness,
)
from tests.support.secret_key import CIPHER
from tests.support.world import World

CONNECTOR = GatewayConnector(CIPHER, AddressPolicy())


@pytest.fixture
async def harness(
    transaction: TransactionFactory, world: World
) -> AsyncIterator[ProvisioningHarness]:
    async with run_provisioning_harness(transaction, world) as harness:
        async with transaction() as session:
            encrypted = CONNECTOR.encrypt(harness.gateway.id, "token", TOKEN)
            await session.execute(update(Gateway).values(encrypted_token=encrypted))
        yield harness


async def count_requests(
    harness: ProvisioningHarness, created: list[Agent], **changes: object
) -> list[int]:
    """Update the gateway, and return the number of new sync requests of each agent."""
    before = [(await harness.get_agent(agent)).generation for agent in created]
    async with harness.transaction() as session:
        await gateways.update_gateway(
            session,
            harness.world.alice_member,
            CONNECTOR,
            harness.gateway.id,
            gateways.GatewayUpdate.of(**{"token": TOKEN} | changes),
        )
    after = [(await harness.get_agent(agent)).generation for agent in created]
    return [new - old for new, old in zip(after, before, strict=True)]


async def test_a_changed_connection_requests_a_sync_of_all_agents(
    harness: ProvisioningHarness,
) -> None:
    created = [
        await harness.create_online_agent("Writer"),
        await harness.create_online_agent("Lead", is_board_lead=True),
    ]
    for changes in (
        {"url": "ws://127.0.0.1:9"},
        {"token": "another"},
        {"token": "another", "allow_insecure_tls": True},
        {"token": "another", "disable_device_pairing": True},
    ):
        assert await count_requests(harness, created, **changes) == [1, 1], changes
        found = [await harness.get_agent(agent) for agent in created]
        assert {agent.step for agent in found} == {ProvisioningStep.CREATE}, changes
        assert await count_requests(harness, created, **changes) == [0, 0], changes


async def test_other_changes_request_no_sync_of_the_agents(
    harness: ProvisioningHarness,
) -> None:
    created = [await harness.create_online_agent()]
    assert await count_requests(harness, created, name="Harbour of old", token=TOKEN) == [0]


async def test_a_gateway_set_up_anew_gets_all_agents_with_their_files(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    async with (
        run_fake_agents_gateway() as fresh,
        GatewayClient(create_target(fresh), retry_policy=QUICK_POLICY) as client,
    ):
        assert await count_requests(harness, [agent], url=fresh.url) == [1]
        await client.get_hello()
        harness.client = client
        await harness.reconcile_until_idle()
        assert fresh.listed_agents() == [agent.gateway_key]
        assert set(fresh.files[agent.gateway_key or ""]) >= {"AGENTS.md", "SOUL.md"}
