"""A fake gateway for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.openclaw.fake import Fake, running


@pytest.fixture
async def gateway() -> AsyncIterator[Fake]:
    async with running(Fake()) as fake:
        yield fake
