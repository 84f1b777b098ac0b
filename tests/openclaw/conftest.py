"""A fake gateway for each test, and a real one that the tests which ask for it share."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.openclaw import real, scripted
from tests.openclaw.fake import Fake, running
from tests.openclaw.real import Real
from tests.openclaw.scripted import Model


@pytest.fixture
async def gateway() -> AsyncIterator[Fake]:
    async with running(Fake()) as fake:
        yield fake


@pytest.fixture(scope="session")
def model() -> Iterator[Model]:
    """What thinks for all agents of the real gateway. Each file says how."""
    with scripted.thinking() as model:
        yield model


@pytest.fixture(scope="session")
def real_gateway(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """A real gateway. It takes some 12 s to start, so a process starts one for all of its files.

    A test looks only at sessions and agents of its own, and leaves the gateway running.
    """
    with real.gateway(tmp_path_factory.mktemp("gateway"), model=model.url) as running:
        yield running
