"""Limit rates, and what runs or waits at the same time, in the memory of this process."""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

from core.errors import TooMany
from core.metrics import REJECTIONS
from core.text import N_

MAX_WAITING = 20  # verifications of one lane
RETRY_AFTER = 5  # seconds, if too much runs or waits


class RateLimiter:
    """Allow `max_hits` hits in `seconds` per key; rejected hits do not count."""

    def __init__(
        self, max_hits: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_hits, self._seconds, self._clock = max_hits, seconds, clock
        self._hits: dict[str, deque[float]] = {}

    def hit(self, key: str) -> None:
        """Record a hit, or raise TooMany if the limit is reached."""
        at = self._clock()
        hits = self._hits.pop(key, deque())
        self._hits[key] = hits
        while len(self._hits) > 20_000:  # the least recently used keys are discarded
            del self._hits[next(iter(self._hits))]
        while hits and hits[0] <= at - self._seconds:
            hits.popleft()
        if len(hits) >= self._max_hits:
            raise TooMany(max(1, math.ceil(hits[0] + self._seconds - at)))
        hits.append(at)


class ConcurrencyLimiter:
    """Counts what is open, such as streams, for each key. `limit` is its name in the metrics."""

    def __init__(self, reason: str, limit: str = "") -> None:
        self._reason, self._limit = reason, limit
        self._open: Counter[str] = Counter()

    def acquire(self, limits: Mapping[str, int]) -> Callable[[], None]:
        """Count one for each key, and return a function that ends it. Raises TooMany."""
        if any(self._open[key] >= limit for key, limit in limits.items()):
            if self._limit:
                REJECTIONS.labels(self._limit).inc()
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
            REJECTIONS.labels("webhook_deliveries").inc()
            raise TooMany(RETRY_AFTER, N_("Too many requests wait for earlier ones."))
        slots = self._slots.setdefault(key, asyncio.Semaphore(self._max_running))
        self._bytes[key] += size
        try:
            async with slots:
                yield
        finally:
            self._bytes[key] -= size
            if not self._bytes[key]:
                del self._bytes[key], self._slots[key]


class VerificationQueue:
    """Limit the verifications that run at once; lanes take turns.

    A lane is whoever asks, for example a network. So a caller who asks for many verifications
    delays only callers in the same lane.
    """

    def __init__(self, max_running: int) -> None:
        self._free = max_running
        self._lanes: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, lane: str) -> AsyncGenerator[None]:
        """Wait until it is the lane's turn, and keep the turn during the block. Raises TooMany."""
        await self._acquire(lane)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, lane: str) -> None:
        if self._free:
            self._free -= 1
            return
        waiting = self._lanes.setdefault(lane, deque())
        if len(waiting) >= MAX_WAITING:
            REJECTIONS.labels("verifications").inc()
            raise TooMany(retry_after=2)
        turn = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()  # the turn came at the moment of the cancellation
            raise

    def _release(self) -> None:
        """Give the turn to the lane that has waited longest for one."""
        while self._lanes:
            lane = next(iter(self._lanes))
            waiting = self._lanes.pop(lane)
            turn = waiting.popleft()
            if waiting:
                self._lanes[lane] = waiting  # at the end
            if not turn.cancelled():
                turn.set_result(None)
                return
        self._free += 1
