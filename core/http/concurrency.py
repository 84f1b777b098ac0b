"""Limit what is open or runs at the same time per key, in the memory of this process."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

from core.errors import TooMany

RETRY_AFTER = 5  # seconds


class ConcurrencyLimiter:
    """Counts what is open, such as streams, for each key."""

    def __init__(self, reason: str) -> None:
        self._reason = reason
        self._open: Counter[str] = Counter()

    def acquire(self, limits: Mapping[str, int]) -> Callable[[], None]:
        """Count one for each key, and return a function that ends it. Raises TooMany."""
        if any(self._open[key] >= limit for key, limit in limits.items()):
            raise TooMany(RETRY_AFTER, self._reason)
        self._open.update(limits.keys())
        keys = list(limits)

        def release() -> None:
            while keys:  # only the first call has an effect
                key = keys.pop()
                self._open[key] -= 1
                if not self._open[key]:
                    del self._open[key]

        return release

    def count(self, key: str) -> int:
        """Return how many are open."""
        return self._open[key]


class QueueingLimiter:
    """Lets only `max_running` run at the same time for each key; others wait in their order.

    What waits for one key holds no connection to the database that other keys need. Of one key, at
    most `max_bytes` wait.
    """

    def __init__(self, max_running: int, max_bytes: int) -> None:
        self._max_running = max_running
        self._max_bytes = max_bytes
        self._slots: dict[object, asyncio.Semaphore] = {}
        self._bytes: Counter[object] = Counter()

    @asynccontextmanager
    async def run(self, key: object, size: int) -> AsyncGenerator[None]:
        """Wait for the turn of something of `size` bytes. Raises TooMany if too much waits."""
        size = max(size, 1)  # an entry without bytes counts too
        if key in self._slots and self._bytes[key] + size > self._max_bytes:
            raise TooMany(RETRY_AFTER, "Too many requests wait for earlier ones.")
        slots = self._slots.setdefault(key, asyncio.Semaphore(self._max_running))
        self._bytes[key] += size
        try:
            async with slots:
                yield
        finally:
            self._bytes[key] -= size
            if not self._bytes[key]:
                del self._bytes[key], self._slots[key]
