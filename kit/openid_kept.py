"""What somebody else publishes, fetched when it is needed and kept in memory for a while."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from kit.errors import Unavailable

log = logging.getLogger(__name__)

FRESH = 3600.0  # seconds after which it is fetched again
STALE = 24 * 3600.0  # seconds after which it does not count any more, should nothing newer be had
PAUSE = 5.0  # seconds between two tries, whatever is asked for and whoever asks

T = TypeVar("T")


class Unreachable(Exception):
    """The provider does not answer, or not as one. Its text is for the log."""


def away() -> Unavailable:
    """Return what people are told when the provider is unreachable."""
    return Unavailable("The sign-in service does not answer. Try again soon.")


class Kept(Generic[T]):
    """One thing that is kept. However many ask for it, one request is under way at a time.

    `fetch` raises Unreachable, and Unavailable. What is old is still given while a newer one is
    being fetched, and for a day if there is none to be had: a provider that is away stops nobody
    who is known.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[T]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._last: tuple[float, T] | None = None
        self._tried = -PAUSE
        self._trying: asyncio.Task[None] | None = None

    async def value(self) -> T:
        """Return what is kept, fetched if need be. Raises Unavailable."""
        age = self._age()
        if age > STALE:
            return await self.renewed()
        if age > FRESH:
            self._try()
        return self._usable()

    async def renewed(self) -> T:
        """Return what there is now, unless that was looked up just before. Raises Unavailable."""
        trying = self._try()
        if trying is not None:
            await asyncio.shield(trying)
        return self._usable()

    async def close(self) -> None:
        """Give up what is being fetched."""
        if self._trying is not None:
            self._trying.cancel()
            with suppress(asyncio.CancelledError):
                await self._trying

    def _usable(self) -> T:
        if self._last is None or self._age() > STALE:
            raise away()
        return self._last[1]

    def _age(self) -> float:
        return STALE + 1 if self._last is None else self._clock() - self._last[0]

    def _try(self) -> asyncio.Task[None] | None:
        """Start fetching, unless that goes on already or was tried just before."""
        if self._trying is None and self._clock() - self._tried >= PAUSE:
            self._tried = self._clock()
            self._trying = asyncio.create_task(self._keep())
        return self._trying

    async def _keep(self) -> None:
        try:
            self._last = (self._clock(), await self._fetch())
        except (Unreachable, Unavailable) as error:
            log.warning("The OpenID provider cannot be used: %s", error)
        finally:
            self._trying = None
