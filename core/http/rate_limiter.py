"""Limit request rates with a sliding window per key, in the memory of this process."""

import math
import time
from collections import deque
from collections.abc import Callable

from core.errors import TooMany

MAX_KEYS = 20_000  # beyond this the least recently used keys are discarded


class RateLimiter:
    """Allow `max_hits` hits in `seconds` per key; rejected hits do not count."""

    def __init__(
        self,
        max_hits: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        message: str = "Too many requests.",
        code: str = "rate_limited",
    ) -> None:
        self._message, self._code = message, code
        self.max_hits = max_hits
        self.seconds = seconds
        self._clock = clock
        self._hits: dict[str, deque[float]] = {}

    def check(self, key: str) -> None:
        """Raise TooMany if the key has reached its limit."""
        hits = self._recent_hits(key)
        if len(hits) >= self.max_hits:
            wait = hits[0] + self.seconds - self._clock()
            raise TooMany(max(1, math.ceil(wait)), self._message, code=self._code)

    def record_hit(self, key: str) -> None:
        """Record one hit of the key."""
        hits = self._hits.pop(key, deque())
        hits.append(self._clock())
        self._hits[key] = hits
        while len(self._hits) > MAX_KEYS:
            del self._hits[next(iter(self._hits))]

    def hit(self, key: str) -> None:
        """Record a hit, or raise TooMany if the limit is reached."""
        self.check(key)
        self.record_hit(key)

    def _recent_hits(self, key: str) -> deque[float]:
        hits = self._hits.get(key, deque())
        window_start = self._clock() - self.seconds
        while hits and hits[0] <= window_start:
            hits.popleft()
        return hits
