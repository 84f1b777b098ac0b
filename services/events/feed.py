"""Subscribe to the events of an organization. All subscribers in a process share one reader.

A notification makes the reader read the new events once and give the same batch to all subscribers.
While there are no events nothing runs, except one read a minute in case a notification was lost.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from core.cancellation import cancel_task
from core.clock import now
from core.db.engine import TransactionFactory, is_temporary_error
from core.db.listen import PostgresListener
from core.metrics import EVENT_LAG
from models import Event
from services.events.queries import BATCH_SIZE, get_last_seq, list_events_after

MAX_CACHED_EVENTS = 2_000  # per organization with subscribers
MAX_QUEUED_BATCHES = 256  # of a subscriber
POLL_INTERVAL = 60.0  # seconds between two reads without a notification
RETRY_DELAY = 0.5  # seconds between two attempts if the database is not available

log = logging.getLogger(__name__)


class EventBatch:
    """Consecutive events that were read together.

    `derived` holds what subscribers derive from them, so that they do it once for all of them.
    """

    __slots__ = ("derived", "events", "has_gap")

    def __init__(self, events: Sequence[Event] = (), *, has_gap: bool = False) -> None:
        self.events = events
        self.has_gap = has_gap  # events before these ones were dropped
        self.derived: dict[Hashable, Any] = {}

    @property
    def last_seq(self) -> int:
        """The number of the last event."""
        return self.events[-1].seq

    def after(self, seq: int) -> "EventBatch":
        """Return the batch, or another one with only the events after a number."""
        if self.events[0].seq > seq:
            return self
        return EventBatch([event for event in self.events if event.seq > seq])


NOTHING = EventBatch()
TIMED_OUT = EventBatch()


class EventSubscription:
    """The events of an organization after a number, in order, for one subscriber."""

    __slots__ = (
        *("_has_gap", "_is_behind", "_is_woken", "_may_skip", "_queue", "_reader", "_waiter"),
        "position",
    )

    def __init__(self, reader: "_OrganizationReader", seq: int, *, may_skip: bool) -> None:
        self.position = seq  # of the last event that was returned
        self._reader = reader
        self._may_skip = may_skip
        self._queue: list[EventBatch] = []
        self._is_behind = True  # there may be events that are not in the queue
        self._has_gap = False
        self._is_woken = False
        self._waiter: asyncio.Future[bool] | None = None

    async def next(self, max_seconds: float) -> EventBatch:
        """Return the next events; NOTHING after `wake`, and TIMED_OUT after `max_seconds`.

        No database connection is in use while it waits. Raises the error of a read that failed.
        """
        is_late = False
        if not (self._is_behind or self._queue or self._is_woken):
            is_late = await self._wait(max_seconds)
        self._is_woken = False
        if self._is_behind:
            self._is_behind = False  # before reading, because the queue may overflow meanwhile
            batch = await self._reader.list_after(self.position)
            self._is_behind |= bool(batch.events)
            return self._accept(batch)
        if self._queue:
            return self._accept(self._queue.pop(0))
        return TIMED_OUT if is_late else NOTHING

    def wake(self) -> None:
        """Let `next` return although there are no events, now or when it is called."""
        self._is_woken = True
        self._end_wait()

    def add(self, batch: EventBatch) -> None:
        """Queue a batch. If the queue is full, it is emptied, and the subscriber is behind."""
        if len(self._queue) >= MAX_QUEUED_BATCHES:
            self._queue.clear()
            self._is_behind = True
            self._has_gap = self._may_skip
            self.position = batch.events[0].seq - 1 if self._may_skip else self.position
        else:
            self._queue.append(batch)
        self._end_wait()

    def close(self) -> None:
        """End the subscription."""
        self._reader.remove(self)

    async def _wait(self, max_seconds: float) -> bool:
        """Wait for events or `wake`, and return whether none came in time."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(max_seconds, self._end_wait, True)
        try:
            return await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _end_wait(self, is_late: bool = False) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(is_late)

    def _accept(self, batch: EventBatch) -> EventBatch:
        if not batch.events or batch.last_seq <= self.position:
            return NOTHING
        batch = batch.after(self.position)
        self.position = batch.last_seq
        if self._has_gap:
            self._has_gap = False
            return EventBatch(batch.events, has_gap=True)
        return batch


class EventFeed:
    """The events of all organizations that have subscribers in this process."""

    def __init__(self, transaction: TransactionFactory, listener: PostgresListener) -> None:
        self._transaction = transaction
        self._listener = listener
        self._readers: dict[UUID, _OrganizationReader] = {}

    def subscribe(
        self, organization_id: UUID, seq: int, *, may_skip: bool = False
    ) -> EventSubscription:
        """Subscribe to the events after number `seq`. The caller closes the subscription.

        A subscriber that does not keep up reads the events from the database, or with `may_skip`
        continues with the latest ones after a batch that says so.
        """
        reader = self._readers.get(organization_id)
        if reader is None:
            reader = _OrganizationReader(self, organization_id)
            self._readers[organization_id] = reader
        return reader.add(seq, may_skip=may_skip)

    async def close(self) -> None:
        """Stop all readers."""
        readers, self._readers = list(self._readers.values()), {}
        for reader in readers:
            await reader.stop()

    def _forget(self, reader: "_OrganizationReader") -> None:
        if self._readers.get(reader.organization_id) is reader:
            del self._readers[reader.organization_id]


class _OrganizationReader:
    """Reads the new events of one organization once for all its subscribers."""

    def __init__(self, feed: EventFeed, organization_id: UUID) -> None:
        self.organization_id = organization_id
        self._feed = feed
        self._transaction = feed._transaction
        self._subscriptions: set[EventSubscription] = set()
        self._cached: deque[Event] = deque(maxlen=MAX_CACHED_EVENTS)
        self._since: int | None = None  # all events after this number are in _cached
        self._started = asyncio.Event()
        self._task = asyncio.create_task(self._run(feed._listener))

    def add(self, seq: int, *, may_skip: bool) -> EventSubscription:
        """Add a subscription to the events after a number."""
        subscription = EventSubscription(self, seq, may_skip=may_skip)
        self._subscriptions.add(subscription)
        return subscription

    def remove(self, subscription: EventSubscription) -> None:
        """Remove a subscription, and stop reading after the last one."""
        self._subscriptions.discard(subscription)
        if not self._subscriptions:
            self._task.cancel()
            self._feed._forget(self)

    async def list_after(self, seq: int) -> EventBatch:
        """Return the next events after `seq`, from memory if it has all of them.

        It waits until the reader has started: the reader returns all events after those in the
        table, and none is missed between the two. Raises ConnectionError if it cannot start.
        """
        if self._since is None:
            await self._started.wait()
        if self._since is None:
            raise ConnectionError("the feed cannot start")
        if seq >= self._since:
            return EventBatch([event for event in self._cached if event.seq > seq][:BATCH_SIZE])
        async with self._transaction() as session:
            return EventBatch(await list_events_after(session, self.organization_id, seq))

    async def stop(self) -> None:
        """Stop reading."""
        await cancel_task(self._task)

    async def _run(self, listener: PostgresListener) -> None:
        with listener.subscribe(str(self.organization_id)) as notified:
            while True:
                is_announced = notified.is_set()
                notified.clear()
                try:
                    while (count := await self._read_batch()) == BATCH_SIZE:
                        pass
                    if count and not is_announced:
                        listener.report_missed_notification()
                except Exception as error:  # after any the subscribers must get events again
                    if is_temporary_error(error):
                        log.warning("The event feed cannot be read: %s", error)
                    else:
                        log.exception("The event feed has failed.")
                    await self._delay_retry()
                    continue
                with suppress(TimeoutError):
                    await asyncio.wait_for(notified.wait(), POLL_INTERVAL)

    async def _delay_retry(self) -> None:
        if self._since is None:
            self._started.set()
            self._started = asyncio.Event()
        await asyncio.sleep(RETRY_DELAY)

    async def _read_batch(self) -> int:
        if self._since is None:
            async with self._transaction() as session:
                self._since = await get_last_seq(session, self.organization_id)
            self._started.set()
            return 0
        last_seq = self._cached[-1].seq if self._cached else self._since
        async with self._transaction() as session:
            events = await list_events_after(session, self.organization_id, last_seq)
        for event in events:
            if len(self._cached) == MAX_CACHED_EVENTS:
                self._since = self._cached[0].seq
            self._cached.append(event)
        if events:
            batch = EventBatch(events)
            for subscription in self._subscriptions:
                subscription.add(batch)
            EVENT_LAG.observe(max((now() - events[0].created_at).total_seconds(), 0.0))
        return len(events)
