"""Subscribe to the events of an organization. All subscribers in a process share one reader."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import Event
from services.events.commands import BATCH_SIZE, get_last_seq, list_events_after

MAX_CACHED_EVENTS = 2_000  # per organization with subscribers
POLL_INTERVAL = 10.0  # seconds between two reads without a notification
RETRY_DELAY = 0.5  # seconds between two attempts if the database is not available

log = logging.getLogger(__name__)


class EventFeed:
    """The events of all organizations that have subscribers in this process."""

    def __init__(self, transaction: TransactionFactory, listener: PostgresListener) -> None:
        self._transaction = transaction
        self._listener = listener
        self._readers: dict[UUID, _OrganizationReader] = {}

    async def subscribe(
        self, organization_id: UUID, seq: int, *, every: float
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Yield batches of the events after number `seq`, in order, until the caller stops.

        If there are no events, an empty batch is yielded after `every` seconds at most, so that
        the caller can check its permissions again. No database connection is in use between
        batches.
        """
        reader = self._reader(organization_id)
        try:
            while True:
                batch = await reader.list_after(seq)
                yield batch
                if batch:
                    seq = batch[-1].seq
                else:
                    await reader.wait_for_event(seq, every)
        finally:
            self._unsubscribe(organization_id, reader)

    async def close(self) -> None:
        """Stop all readers."""
        readers, self._readers = list(self._readers.values()), {}
        for reader in readers:
            await reader.stop()

    def _reader(self, organization_id: UUID) -> "_OrganizationReader":
        reader = self._readers.get(organization_id)
        if reader is None:
            reader = _OrganizationReader(self._transaction, self._listener, organization_id)
            self._readers[organization_id] = reader
        reader.subscribers += 1
        return reader

    def _unsubscribe(self, organization_id: UUID, reader: "_OrganizationReader") -> None:
        reader.subscribers -= 1
        if not reader.subscribers:
            reader.task.cancel()
            if self._readers.get(organization_id) is reader:
                del self._readers[organization_id]


class _OrganizationReader:
    """Reads the new events of one organization once for all its subscribers."""

    def __init__(
        self, transaction: TransactionFactory, listener: PostgresListener, organization_id: UUID
    ) -> None:
        self.subscribers = 0
        self._transaction = transaction
        self._listener = listener
        self._organization_id = organization_id
        self._cached: deque[Event] = deque(maxlen=MAX_CACHED_EVENTS)
        self._since: int | None = None  # all events after this number are in _cached
        self._changed = asyncio.Condition()
        self.task = asyncio.create_task(self._run())

    async def list_after(self, seq: int) -> Sequence[Event]:
        """Return the next events after `seq`, from memory if it has all of them."""
        if self._since is not None and seq >= self._since:
            return [event for event in self._cached if event.seq > seq][:BATCH_SIZE]
        async with self._transaction() as session:
            return await list_events_after(session, self._organization_id, seq)

    async def wait_for_event(self, seq: int, max_seconds: float) -> None:
        """Wait until there is an event after `seq`, at most `max_seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max_seconds), self._changed:
                await self._changed.wait_for(lambda: self._position() > seq)

    async def stop(self) -> None:
        """Stop reading."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    def _position(self) -> int:
        return self._cached[-1].seq if self._cached else (self._since or 0)

    async def _run(self) -> None:
        with self._listener.subscribe(str(self._organization_id)) as notified:
            while True:
                notified.clear()
                try:
                    while await self._read_batch() == BATCH_SIZE:
                        pass
                except (OSError, SQLAlchemyError) as error:
                    log.warning("the feed cannot read: %s", error)
                    await asyncio.sleep(RETRY_DELAY)
                    continue
                except Exception:  # after any error the subscribers must get events again
                    log.exception("the feed has failed")
                    await asyncio.sleep(RETRY_DELAY)
                    continue
                with suppress(TimeoutError):
                    await asyncio.wait_for(notified.wait(), POLL_INTERVAL)

    async def _read_batch(self) -> int:
        async with self._transaction() as session:
            if self._since is None:
                start = await get_last_seq(session, self._organization_id)
                batch: Sequence[Event] = []
            else:
                batch = await list_events_after(session, self._organization_id, self._position())
        async with self._changed:
            if self._since is None:
                self._since = start
            self._cache(batch)
            self._changed.notify_all()
        return len(batch)

    def _cache(self, batch: Sequence[Event]) -> None:
        for event in batch:
            if len(self._cached) == MAX_CACHED_EVENTS:
                self._since = self._cached[0].seq
            self._cached.append(event)
