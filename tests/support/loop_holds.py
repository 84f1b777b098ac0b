"""How long the event loop is held, measured as in production but without its threshold."""

import asyncio
import gc
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from core.event_loop import MAX_HOLD, LoopHold, LoopMonitor

__all__ = ["MAX_HOLD", "LoopHolds", "measure_holds"]


class LoopHolds:
    """The longest hold of the event loop in a block: seconds of CPU and place."""

    longest = 0.0
    place = ""

    def record(self, hold: LoopHold) -> None:
        """Keep a hold if it is the longest."""
        if hold.seconds > self.longest:
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
