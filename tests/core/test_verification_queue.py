"""Expensive verifications: few at once, and in turn for each lane."""

import asyncio

import pytest

from core.errors import TooMany
from core.limiters import MAX_WAITING, VerificationQueue


class Recorder:
    """Verifications that end when they are told to, and the order in which they began."""

    def __init__(self, queue: VerificationQueue) -> None:
        self.queue = queue
        self.begun: list[str] = []
        self.finish = asyncio.Event()

    def start(self, lane: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._verify(lane))

    async def _verify(self, lane: str) -> None:
        async with self.queue.turn(lane):
            self.begun.append(lane)
            await self.finish.wait()


async def let_tasks_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_few_verifications_run_at_once() -> None:
    recorder = Recorder(VerificationQueue(2))
    tasks = [recorder.start("near") for _ in range(5)]
    await let_tasks_run()
    assert len(recorder.begun) == 2
    recorder.finish.set()
    await asyncio.gather(*tasks)
    assert len(recorder.begun) == 5


async def test_a_flood_in_one_lane_does_not_delay_another() -> None:
    recorder = Recorder(VerificationQueue(1))
    tasks = [recorder.start("flood") for _ in range(10)]
    await let_tasks_run()
    tasks.append(recorder.start("quiet"))
    await let_tasks_run()
    recorder.finish.set()
    await asyncio.gather(*tasks)
    assert recorder.begun.index("quiet") <= 2


async def test_a_full_lane_refuses_and_others_do_not() -> None:
    recorder = Recorder(VerificationQueue(1))
    tasks = [recorder.start("flood") for _ in range(1 + MAX_WAITING)]
    await let_tasks_run()
    with pytest.raises(TooMany):
        await recorder.start("flood")
    tasks.append(recorder.start("quiet"))
    recorder.finish.set()
    await asyncio.gather(*tasks)
    assert "quiet" in recorder.begun


async def test_a_cancelled_verification_gives_its_turn_away() -> None:
    recorder = Recorder(VerificationQueue(1))
    running, waiting, last = (recorder.start(name) for name in ("first", "second", "third"))
    await let_tasks_run()
    waiting.cancel()
    running.cancel()
    await let_tasks_run()
    assert recorder.begun == ["first", "third"]
    recorder.finish.set()
    await last
