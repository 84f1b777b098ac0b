"""Fixtures of the contract tests: the API clients, and a fake gateway."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.api_fixtures import (
    Client,
    alice,
    anonymous,
    api_app,
    api_settings,
    bob,
    charlie,
    client_for,
    committing_api_app,
    committing_client_for,
    dana,
    lead,
    local_client_for,
    other_worker,
    rita,
    worker,
)
from tests.support.fake_gateway import FakeGateway, run_fake_gateway
from tests.support.gateway_api import create_gateway, make_fake_gateway
from tests.support.world import World

__all__ = [
    "alice",
    "anonymous",
    "api_app",
    "api_settings",
    "bob",
    "charlie",
    "client_for",
    "committing_api_app",
    "committing_client_for",
    "dana",
    "lead",
    "local_client_for",
    "other_worker",
    "rita",
    "worker",
]


@pytest.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    async with run_fake_gateway(make_fake_gateway()) as fake:
        yield fake


@pytest.fixture
async def gateway(alice: Client, fake: FakeGateway, world: World) -> dict[str, Any]:
    """The gateway of Tern, with the board Launch."""
    made = await create_gateway(alice, fake)
    put = await alice.patch(f"/boards/{world.board.id}", json={"gateway_id": made["id"]})
    assert put.status_code == 200
    fake.connect_params.clear()
    fake.calls.clear()
    return made


@pytest.fixture
def field_definition(world: World) -> dict[str, Any]:
    """Input for a custom field of Launch."""
    return {"field_key": "size", "board_ids": [str(world.board.id)]}
