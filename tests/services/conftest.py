"""A gateway on which the agents of Launch live, for the tests of what is carried to them."""

from collections.abc import AsyncIterator

import pytest

from tests.carried import Post, a_post
from tests.conftest import Transaction
from tests.world import World


@pytest.fixture
async def post(real_transaction: Transaction, real_world: World) -> AsyncIterator[Post]:
    async with a_post(real_transaction, real_world) as post:
        yield post
