"""Distribute gateway events to subscriptions, each with a bounded queue."""

import asyncio
from collections import deque
from collections.abc import Collection
from contextlib import suppress

from openclaw.frames import GatewayEvent

MAX_EVENTS = 1_000  # queued for one subscription
MAX_QUEUE_SIZE = 8_000_000  # characters of all events queued for one subscription

EVENTS_MISSED = GatewayEvent("missed", {})
"""Replaces lost events; the subscriber must reload the state."""


class Subscription:
    """Deliver events in order; after an overflow or a disconnect deliver EVENTS_MISSED."""

    def __init__(self, hub: "EventHub", names: Collection[str], most: int) -> None:
        self._hub = hub
        self._names = names
        self._max_events = most
        self._queue: deque[GatewayEvent] = deque()
        self._size = 0  # characters of all queued events
        self._available = asyncio.Event()
        self._missed = False

    async def next_event(self) -> GatewayEvent:
        """Return the next event, or EVENTS_MISSED once if events were lost."""
        while not (self._queue or self._missed):
            self._available.clear()
            await self._available.wait()
        if self._missed:
            self._missed = False
            return EVENTS_MISSED
        return self._pop()

    async def next_event_before(self, deadline: float) -> GatewayEvent | None:
        """Return the next event, or None once the deadline on the loop's clock has passed.

        After the deadline it returns None even if events are queued, so that callers can poll.
        """
        if asyncio.get_running_loop().time() < deadline:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    return await self.next_event()
        return None

    def put(self, event: GatewayEvent) -> None:
        """Queue an event if its name is subscribed; the oldest events are dropped on overflow."""
        if self._names and event.name not in self._names:
            return
        self._queue.append(event)
        self._size += event.size
        while len(self._queue) > self._max_events or self._size > MAX_QUEUE_SIZE:
            self._pop()
            self._missed = True
        self._available.set()

    def mark_missed(self) -> None:
        """Record that events were lost."""
        self._missed = True
        self._available.set()

    def close(self) -> None:
        """End the subscription."""
        self._hub.unsubscribe(self)

    def _pop(self) -> GatewayEvent:
        event = self._queue.popleft()
        self._size -= event.size
        return event


class EventHub:
    """The subscriptions to one gateway, independent of its connections."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def subscribe(self, *names: str, most: int = MAX_EVENTS) -> Subscription:
        """Subscribe to events by name, or to all."""
        subscription = Subscription(self, frozenset(names), most)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Remove a subscription."""
        self._subscriptions.discard(subscription)

    def publish(self, event: GatewayEvent) -> None:
        """Deliver an event to all subscriptions."""
        for subscription in tuple(self._subscriptions):
            subscription.put(event)

    def mark_all_missed(self) -> None:
        """Record lost events in all subscriptions."""
        for subscription in tuple(self._subscriptions):
            subscription.mark_missed()
