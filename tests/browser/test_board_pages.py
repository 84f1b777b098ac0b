"""The pages of boards: complete, accessible and without errors in every theme."""

import pytest

from tests.support.full_site import FullSite
from tests.support.page_addresses import list_addresses

ROOTS = ("/boards",)


@pytest.mark.parametrize("address", list_addresses(*ROOTS))
async def test_a_board_page_is_accessible_and_has_no_errors(world: FullSite, address: str) -> None:
    await world.visit(address)
