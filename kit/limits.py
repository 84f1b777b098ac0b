"""How often a caller may come: a sliding window for each key, in this process's memory."""

import math
import time
from collections import deque
from collections.abc import Callable

from kit.errors import TooMany

MOST_KEYS = 20_000  # past this the keys that have been quiet longest are forgotten


class Limit:
    """At most `most` visits in `seconds` for each key. Visits that are refused do not count."""

    def __init__(
        self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most = most
        self.seconds = seconds
        self._clock = clock
        self._visits: dict[str, deque[float]] = {}

    def check(self, key: str) -> None:
        """Raise TooMany if this key has used up its visits."""
        visits = self._recent(key)
        if len(visits) >= self.most:
            wait = visits[0] + self.seconds - self._clock()
            raise TooMany(retry_after=max(1, math.ceil(wait)))

    def count(self, key: str) -> None:
        """Count one visit of this key."""
        visits = self._visits.pop(key, deque())
        visits.append(self._clock())
        self._visits[key] = visits
        while len(self._visits) > MOST_KEYS:
            del self._visits[next(iter(self._visits))]

    def take_back(self, key: str) -> None:
        """Forget the last visit of this key: it was a good one."""
        visits = self._visits.get(key)
        if visits:
            visits.pop()

    def visit(self, key: str) -> None:
        """Count a visit, or raise TooMany if there have been enough."""
        self.check(key)
        self.count(key)

    def _recent(self, key: str) -> deque[float]:
        visits = self._visits.get(key, deque())
        gone = self._clock() - self.seconds
        while visits and visits[0] <= gone:
            visits.popleft()
        return visits
