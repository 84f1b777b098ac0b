"""The pages of gateways and questions: whole, readable and without an error, in every look."""

import pytest

from tests.browser.addresses import addresses_of
from tests.browser.furnished import World

ROOTS = ("/gateways", "/approvals")


@pytest.mark.parametrize("address", addresses_of(*ROOTS))
async def test_a_page(world: World, address: str) -> None:
    await world.visit(address)
