"""A real gateway that freezes: it is reported while it stays connected, and then disconnected."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest

from openclaw import ErrorKind, GatewayClient, GatewayTarget, RetryPolicy
from tests.support.fake_llm import FakeLlm, do_nothing
from tests.support.real_gateway import RealGateway

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateway"
)

TIMEOUT = 120  # seconds


class Watch:
    """The changes of a connection in order, with the time since the gateway was frozen."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[Any] = asyncio.Queue()
        self.frozen_at = monotonic()

    async def add(self, change: Any) -> None:
        kind = getattr(change, "kind", "connected")
        print(f"{kind} after {monotonic() - self.frozen_at:.1f} s")
        self.changes.put_nowait(kind)

    async def expect(self, kind: object) -> None:
        async with asyncio.timeout(TIMEOUT):
            assert await self.changes.get() == kind


@asynccontextmanager
async def watch_gateway(gateway: RealGateway) -> AsyncGenerator[Watch]:
    watch = Watch()
    target = GatewayTarget(gateway.url, token=gateway.token)
    async with GatewayClient(target, retry_policy=RetryPolicy(total_timeout=120)) as client:
        task = asyncio.create_task(client.stay_connected(watch.add))
        await watch.expect("connected")
        yield watch
        task.cancel()


@pytest.fixture
def frozen(real_gateway: RealGateway, model: FakeLlm) -> RealGateway:
    model.behavior = do_nothing
    return real_gateway


def send_signal(gateway: RealGateway, name: signal.Signals) -> None:
    assert gateway.process
    gateway.process.send_signal(name)


async def test_a_frozen_gateway_keeps_its_connection_when_it_continues(
    frozen: RealGateway,
) -> None:
    async with watch_gateway(frozen) as watch:
        watch.frozen_at = monotonic()
        send_signal(frozen, signal.SIGSTOP)
        try:
            await watch.expect(ErrorKind.UNRESPONSIVE)
        finally:
            send_signal(frozen, signal.SIGCONT)
        await watch.expect("connected")  # without an end of the connection before it
        assert watch.changes.empty()


async def test_a_gateway_that_stays_frozen_is_disconnected_and_found_again(
    frozen: RealGateway,
) -> None:
    async with watch_gateway(frozen) as watch:
        watch.frozen_at = monotonic()
        send_signal(frozen, signal.SIGSTOP)
        try:
            await watch.expect(ErrorKind.UNRESPONSIVE)
            await watch.expect(ErrorKind.CLOSED)
            await watch.expect(ErrorKind.TIMEOUT)
        finally:
            send_signal(frozen, signal.SIGCONT)
        async with asyncio.timeout(TIMEOUT):
            while await watch.changes.get() != "connected":
                pass
