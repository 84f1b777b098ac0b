"""Who listens to a gateway's events: each with a queue of its own, which never grows for ever."""

import asyncio
from collections import deque
from collections.abc import Collection
from contextlib import suppress

from openclaw.frames import Event

MOST_EVENTS = 1_000  # that wait for one listener
MOST_WAITING = 8_000_000  # characters of all that wait for one listener

MISSED = Event("missed", {})
"""What a listener is told instead of events that it did not get: it has to look for itself."""


class Subscription:
    """Events for one listener, in order. Who is too slow, or was cut off, is told MISSED."""

    def __init__(self, hub: "Hub", names: Collection[str], most: int) -> None:
        self._hub = hub
        self._names = names
        self._most = most
        self._waiting: deque[Event] = deque()
        self._size = 0  # characters of all that wait
        self._news = asyncio.Event()
        self._missed = False

    async def next(self) -> Event:
        """Return the next event, or MISSED once where some are lost."""
        while not (self._waiting or self._missed):
            self._news.clear()
            await self._news.wait()
        if self._missed:
            self._missed = False
            return MISSED
        return self._taken()

    async def before(self, moment: float) -> Event | None:
        """Return the next event, but None once a moment of the loop's clock has come.

        It is for who has to look for itself now and then, however much it is told.
        """
        if asyncio.get_running_loop().time() < moment:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(moment):
                    return await self.next()
        return None

    def put(self, event: Event) -> None:
        """Add an event, if it is one of those that were wanted. The oldest ones make room."""
        if self._names and event.name not in self._names:
            return
        self._waiting.append(event)
        self._size += event.size
        while len(self._waiting) > self._most or self._size > MOST_WAITING:
            self._taken()
            self._missed = True
        self._news.set()

    def miss(self) -> None:
        """Tell that events were lost."""
        self._missed = True
        self._news.set()

    def close(self) -> None:
        """Listen no more."""
        self._hub.leave(self)

    def _taken(self) -> Event:
        event = self._waiting.popleft()
        self._size -= event.size
        return event


class Hub:
    """All who listen to one gateway, over one connection after the other."""

    def __init__(self) -> None:
        self._listening: set[Subscription] = set()

    def subscribe(self, *names: str, most: int = MOST_EVENTS) -> Subscription:
        """Listen to the events of these names, or to all."""
        subscription = Subscription(self, frozenset(names), most)
        self._listening.add(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Forget a listener."""
        self._listening.discard(subscription)

    def tell(self, event: Event) -> None:
        """Hand an event to all who want it."""
        for subscription in tuple(self._listening):
            subscription.put(event)

    def lost(self) -> None:
        """Tell all that events were lost."""
        for subscription in tuple(self._listening):
            subscription.miss()
