"""A fake gateway for each test, and a real gateway that the tests of `--gateway` share."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support import fake_llm
from tests.support.fake_gateway import FakeGateway, run_fake_gateway
from tests.support.fake_llm import FakeLlm
from tests.support.real_gateway import RealGateway, run_real_gateway


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with run_fake_gateway(FakeGateway()) as fake:
        yield fake


@pytest.fixture(scope="session")
def model() -> Iterator[FakeLlm]:
    """The scripted model of all agents of the real gateway. Each test file sets its script."""
    with fake_llm.run_fake_llm() as model:
        yield model


@pytest.fixture(scope="session")
def shared_gateway(
    model: FakeLlm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealGateway]:
    """A real gateway, one per process because it takes about 12 s to start."""
    with run_real_gateway(tmp_path_factory.mktemp("gateway"), model=model.url) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def real_gateway(shared_gateway: RealGateway) -> RealGateway:
    """The shared gateway, which a test of another file may have restarted.

    A test uses only its own sessions and agents, and leaves the gateway running.
    """
    shared_gateway.wait_until_ready()
    return shared_gateway
