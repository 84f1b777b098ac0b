"""Fixtures: gateways with the agents of the board Launch."""

from collections.abc import AsyncIterator

import pytest

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from openclaw import AddressPolicy
from services.gateways import GatewayConnector
from tests.support.delivery_gateway import DeliveryGateway, run_delivery_gateway
from tests.support.requests_gateway import RequestsHarness, run_requests_harness
from tests.support.secret_key import CIPHER
from tests.support.world import World


@pytest.fixture
async def delivery(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> AsyncIterator[DeliveryGateway]:
    async with run_delivery_gateway(isolated_transaction, isolated_world) as delivery:
        yield delivery


@pytest.fixture
async def harness(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> AsyncIterator[RequestsHarness]:
    async with run_requests_harness(
        isolated_settings, isolated_transaction, isolated_world
    ) as harness:
        yield harness


@pytest.fixture
def connector() -> GatewayConnector:
    return GatewayConnector(CIPHER, AddressPolicy())
