"""The contract is tried by the same callers as the API, and on a fake gateway."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.conftest import (
    Client,
    alice,
    bob,
    calling,
    charlie,
    dana,
    house,
    house_settings,
    lead,
    local,
    nobody,
    other_worker,
    real_house,
    really_calling,
    rita,
    worker,
)
from tests.contract.gateways import a_fake, entered
from tests.openclaw.fake import Fake, running
from tests.world import World

__all__ = [
    "alice",
    "bob",
    "calling",
    "charlie",
    "dana",
    "house",
    "house_settings",
    "lead",
    "local",
    "nobody",
    "other_worker",
    "real_house",
    "really_calling",
    "rita",
    "worker",
]


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with running(a_fake()) as fake:
        yield fake


@pytest.fixture
async def gateway(alice: Client, fake: Fake, world: World) -> dict[str, Any]:
    """The gateway of Tern, on which is Launch."""
    made = await entered(alice, fake)
    put = await alice.patch(f"/boards/{world.board.id}", json={"gateway_id": made["id"]})
    assert put.status_code == 200
    fake.connects.clear()
    fake.calls.clear()
    return made


@pytest.fixture
def on_launch(world: World) -> dict[str, Any]:
    """What a field says that tasks of Launch have."""
    return {"field_key": "size", "board_ids": [str(world.board.id)]}
