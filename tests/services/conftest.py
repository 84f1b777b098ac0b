"""Gateways on which the agents of Launch live: what they are told, what they ask and do."""

from collections.abc import AsyncIterator

import pytest

from kit.settings import Settings
from tests.attended import Attended, attended
from tests.carried import Post, a_post
from tests.conftest import Transaction
from tests.world import World


@pytest.fixture
async def post(real_transaction: Transaction, real_world: World) -> AsyncIterator[Post]:
    async with a_post(real_transaction, real_world) as post:
        yield post


@pytest.fixture
async def there(
    own_settings: Settings, real_transaction: Transaction, real_world: World
) -> AsyncIterator[Attended]:
    async with attended(own_settings, real_transaction, real_world) as there:
        yield there
