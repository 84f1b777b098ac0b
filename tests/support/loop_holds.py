"""How long the event loop is held, measured as in production but without its threshold."""

import asyncio
import gc
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from core.event_loop import MAX_HOLD, LoopHold, LoopMonitor

REFERENCE_SECONDS = 0.0125  # of CPU that `calibrate` takes where the limits were measured


FAKE_SERVER = "serve.<locals>.protocol_handler"  # of WebSockets, in the event loop of the test


@dataclass
class LoopHolds:
    """The longest hold of the event loop in a block: seconds of CPU and place."""

    longest: float = 0.0
    place: str = ""

    def record(self, hold: LoopHold) -> None:
        """Keep a hold of the product if it is the longest."""
        if hold.seconds > self.longest and FAKE_SERVER not in hold.place:
            self.longest, self.place = hold.seconds, hold.place


@contextmanager
def measure_holds() -> Generator[LoopHolds]:
    """Measure each callback of the event loop, without a search for garbage of earlier tests."""
    holds, run = LoopHolds(), asyncio.Handle._run
    monitor = LoopMonitor(holds.record, limit=0.001, precision=0.0)
    gc.freeze()
    monitor.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio.Handle, "_run", lambda handle: monitor.run(run, handle))
            yield holds
    finally:
        monitor.stop()
        gc.unfreeze()


def calibrate() -> float:
    """Return the longest hold that is allowed on this machine, in seconds of CPU."""
    durations = []
    for _ in range(3):
        start = time.thread_time()
        texts = [f"{number}:{number * 7 % 1000}" for number in range(100_000)]
        sum(len(text) for text in texts)
        durations.append(time.thread_time() - start)
    return MAX_HOLD * max(1.0, min(durations) / REFERENCE_SECONDS)
