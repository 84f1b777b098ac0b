"""Run expensive verifications, a few at once and in turn for each lane."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from core.errors import TooMany

MAX_WAITING = 20  # verifications of one lane
RETRY_AFTER = 2  # seconds


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
            raise TooMany(retry_after=RETRY_AFTER)
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
