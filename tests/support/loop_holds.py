"""How long the event loop is held: the CPU time of its thread, in which nobody else is served."""

import asyncio
import gc
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest


class LoopHolds:
    """The longest hold of the event loop in a block, in seconds."""

    longest = 0.0


@contextmanager
def measure_holds() -> Generator[LoopHolds]:
    """Measure each callback of the event loop, without a search for garbage of earlier tests."""
    holds, run = LoopHolds(), asyncio.Handle._run

    def measure(handle: asyncio.Handle) -> None:
        start = time.thread_time()
        run(handle)
        holds.longest = max(holds.longest, time.thread_time() - start)

    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.Handle, "_run", measure)
        yield holds
    gc.unfreeze()
