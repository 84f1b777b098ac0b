"""Limit what is open at the same time per key, in the memory of this process."""

from collections import Counter
from collections.abc import Callable, Mapping

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
            raise TooMany(retry_after=RETRY_AFTER, message=self._reason)
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
