"""Search all objects of a process for garbage while it has no open transaction.

A search visits every object. With ten thousand streams it takes a second of CPU, and on a busy
machine many seconds: PostgreSQL ends a transaction that is idle for so long, and its request would
fail. So Python searches only new objects by itself, and the event loop starts the full search: when
the objects are a quarter more, or after ten minutes or more in which new ones were searched.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Callable

IS_INCREMENTAL = sys.version_info >= (3, 14)
"""Whether Python divides the full search into short ones."""

GROWTH = 1.25  # of the number of objects after which a search is due, as in Python
MIN_SIZE = 200_000  # objects, whose search takes a tenth of a second
SEARCH_INTERVAL = 600.0  # seconds after which it is due with fewer new objects
"""With MIN_SIZE objects. More objects wait longer, so that the share of the time stays the same."""
NEVER = 2**31 - 1
CHECK_INTERVAL = 0.25  # seconds
RETRY_INTERVAL = 0.01  # seconds, while a search is due and a transaction is open


class FullCollections:
    """The full searches of this process, which `has_transaction` can delay."""

    def __init__(
        self, has_transaction: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._has_transaction = has_transaction
        self._clock = clock
        self._late_at = clock() + SEARCH_INTERVAL
        self._limit = MIN_SIZE * GROWTH  # objects from which on a search is due
        self._min_passes = self._pass_size = 0
        self._next_look = 0  # searches of new objects until the objects are counted
        self._due_since = 0  # the number of such searches when this one was due; 0 if it is not

    def start(self) -> None:
        """Search whenever it is due, in the running event loop."""
        if IS_INCREMENTAL:
            return
        first, second, self._min_passes = gc.get_threshold()
        self._pass_size = first * second
        self._next_look = self._min_passes
        gc.set_threshold(first, second, NEVER)
        asyncio.get_running_loop().call_later(CHECK_INTERVAL, self._check_again)

    def collect_if_due(self) -> bool:
        """Search if that is due and possible; return whether it is due and has to wait.

        It waits for transactions until as many objects have been added again.
        """
        passes = gc.get_count()[2]
        if not self._due_since:
            is_late = self._clock() > self._late_at
            if passes <= (self._min_passes if is_late else self._next_look):
                return False
            if not is_late and (missing := self._limit - _count_old_objects()) > 0:
                self._plan_look(passes, missing)
                return False
            self._due_since = passes
        if passes <= 2 * self._due_since and self._has_transaction():
            return True
        gc.collect()
        size = max(_count_old_objects(), MIN_SIZE)
        self._late_at = self._clock() + SEARCH_INTERVAL * size / MIN_SIZE
        self._limit, self._due_since = size * GROWTH, 0
        self._plan_look(0, self._limit - size)
        return False

    def _plan_look(self, passes: int, missing: float) -> None:
        """Count the objects, which takes a tenth of a search, only when enough can be new."""
        self._next_look = passes + max(self._min_passes, int(missing / self._pass_size))

    def _check_again(self) -> None:
        delay = RETRY_INTERVAL if self.collect_if_due() else CHECK_INTERVAL
        asyncio.get_running_loop().call_later(delay, self._check_again)


def _count_old_objects() -> int:
    return len(gc.get_objects(generation=2))
