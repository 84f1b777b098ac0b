"""Of one key few run at the same time, in their order, and what waits is limited."""

import asyncio

import pytest

from core.errors import TooMany
from core.limiters import QueueingLimiter


async def test_each_key_has_its_own_turns_in_order() -> None:
    limiter = QueueingLimiter(1, max_bytes=100)
    ends = asyncio.Event()
    begun: list[str] = []

    async def run(key: str, name: str) -> None:
        async with limiter.run(key, 10):
            begun.append(name)
            await ends.wait()

    async with asyncio.TaskGroup() as group:
        for key, name in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1")):
            group.create_task(run(key, name))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert begun == ["a1", "b1"]
        ends.set()
    assert begun == ["a1", "b1", "a2", "a3"]


async def test_what_waits_for_one_key_is_limited() -> None:
    limiter = QueueingLimiter(1, max_bytes=100)
    async with limiter.run("a", 500):  # one alone may have any size
        with pytest.raises(TooMany):
            async with limiter.run("a", 0):
                pass
        async with limiter.run("b", 100):
            pass
    async with limiter.run("a", 60):
        with pytest.raises(TooMany):
            async with limiter.run("a", 41):
                pass


async def test_a_caller_that_gives_up_leaves_no_place_taken() -> None:
    limiter = QueueingLimiter(1, max_bytes=100)

    async def run() -> None:
        async with limiter.run("a", 90):
            pass

    async with limiter.run("a", 10):
        waiting = asyncio.create_task(run())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        again = asyncio.create_task(run())
        await asyncio.sleep(0)
    await again
