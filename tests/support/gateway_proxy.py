"""A proxy in front of a gateway with which a test interrupts single calls of the product."""

import asyncio
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

MAX_SIZE = 64 * 1024 * 1024  # bytes of a frame


def ignore_call(_method: str, _params: dict[str, Any]) -> None:
    """Let a call pass."""


@dataclass
class GatewayProxy:
    """Forwards frames in both directions.

    `after_call` is executed when the gateway has received a call, and before it can respond: the
    responses are forwarded afterwards.
    """

    target: str
    port: int = 0
    after_call: Callable[[str, dict[str, Any]], None] = ignore_call
    loop: asyncio.AbstractEventLoop | None = None

    async def handle(self, product: ServerConnection) -> None:
        """Forward a connection until one side closes it."""
        async with connect(self.target, max_size=MAX_SIZE) as gateway:
            passing = asyncio.Event()
            passing.set()

            async def forward_calls() -> None:
                async for raw in product:
                    passing.clear()
                    await gateway.send(raw)
                    frame = json.loads(raw)
                    await asyncio.to_thread(
                        self.after_call, frame.get("method", ""), frame.get("params") or {}
                    )
                    passing.set()

            async def forward_responses() -> None:
                async for raw in gateway:
                    await passing.wait()
                    await product.send(raw)

            tasks = [asyncio.create_task(one()) for one in (forward_calls, forward_responses)]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError, ConnectionClosed):
                    await task


@contextmanager
def run_gateway_proxy(target: str) -> Generator[GatewayProxy]:
    """Run a proxy at a free port in a thread of its own."""
    proxy = GatewayProxy(target)
    started, stop = threading.Event(), asyncio.Event()

    async def run() -> None:
        proxy.loop = asyncio.get_running_loop()
        async with serve(
            proxy.handle, "127.0.0.1", 0, max_size=MAX_SIZE, close_timeout=1
        ) as server:
            proxy.port = next(iter(server.sockets)).getsockname()[1]
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert started.wait(20)
    assert proxy.loop
    try:
        yield proxy
    finally:
        proxy.loop.call_soon_threadsafe(stop.set)
        thread.join(10)
