"""The only timing that tests assert: hostile input of the maximum size takes a second of CPU."""

import gc
import time
from collections.abc import Generator
from contextlib import contextmanager

MAX_CPU_SECONDS = 1.0


class CpuTime:
    """The CPU time of a block, in seconds."""

    seconds = 0.0


@contextmanager
def measure_cpu() -> Generator[CpuTime]:
    """Measure the CPU time of a block, without a search for garbage among earlier objects."""
    measured = CpuTime()
    gc.freeze()
    start = time.process_time()
    try:
        yield measured
    finally:
        measured.seconds = time.process_time() - start
        gc.unfreeze()


@contextmanager
def limit_cpu() -> Generator[None]:
    """Fail if the block takes more than a second of CPU."""
    with measure_cpu() as measured:
        yield
    assert measured.seconds < MAX_CPU_SECONDS
