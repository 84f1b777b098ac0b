"""The rights of viewers, checked once for all their pages while these have event streams open."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from uuid import UUID

RECHECK_INTERVAL = 2.0  # seconds; a page without access is disconnected within twice that time
MAX_CHECKS = 4  # at once in a process, so that requests find a free database connection
MAX_ENTRIES = 1_000

ReadableBoards = Collection[UUID] | None
"""The boards that a viewer can read, or None if the streams have to end."""


@dataclass
class _Check:
    started_at: float
    seq: int  # all events up to this number were committed when the check started
    result: asyncio.Task[ReadableBoards]


class StreamRights:
    """Remembers for a moment what each viewer can read.

    Many pages of one viewer, or a thousand that reconnect at once, do not multiply the queries.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._checks: dict[tuple[UUID, UUID], _Check] = {}
        self.slots = asyncio.Semaphore(MAX_CHECKS)
        self.openings = asyncio.Semaphore(MAX_CHECKS)  # queries of streams that are being opened

    async def load(
        self,
        key: tuple[UUID, UUID],
        load: Callable[[], Awaitable[ReadableBoards]],
        *,
        changed_by: int = 0,
    ) -> ReadableBoards:
        """Return the result of `load`, which may be some seconds old.

        `changed_by` is the number of an event that may have changed the rights; a result from
        before this event is not used. `key` is the session and the organization.
        """
        known = self._checks.get(key)
        if known is None or self._is_outdated(known, changed_by):
            task = asyncio.create_task(self._run(load))
            seq = max(changed_by, known.seq if known else 0)  # it starts after the one before
            known = self._checks[key] = _Check(self._clock(), seq, task)
            self._remove_old_entries()
        return await asyncio.shield(known.result)

    async def _run(self, load: Callable[[], Awaitable[ReadableBoards]]) -> ReadableBoards:
        async with self.slots:
            return await load()

    def _is_outdated(self, check: _Check, changed_by: int) -> bool:
        if check.seq < changed_by:
            return True
        if check.result.done():
            has_failed = check.result.cancelled() or check.result.exception() is not None
            return has_failed or self._clock() - check.started_at >= RECHECK_INTERVAL
        return False

    def _remove_old_entries(self) -> None:
        """Remove the entries that are not used any more, if there are many."""
        if len(self._checks) <= MAX_ENTRIES:
            return
        oldest = self._clock() - 2 * RECHECK_INTERVAL
        self._checks = {key: one for key, one in self._checks.items() if one.started_at >= oldest}
