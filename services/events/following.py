"""Following an organization's events: many followers in a process share one reader."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from kit.doorbell import Doorbell
from models import Event
from services.events.recording import BATCH, after, latest

KEPT = 2_000  # events in memory for each organization that is followed
LOOK_ANYWAY = 10.0  # seconds between two looks when nothing rings
RETRY = 0.5  # seconds before another look when the database is away

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]

log = logging.getLogger(__name__)


class Feed:
    """The events of all organizations that somebody in this process follows."""

    def __init__(self, transaction: Transaction, doorbell: Doorbell) -> None:
        self._transaction = transaction
        self._doorbell = doorbell
        self._readers: dict[UUID, _Reader] = {}

    async def follow(
        self, organization_id: UUID, seq: int, *, every: float
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Yield the events after number `seq`, in order, for as long as the caller listens.

        An empty batch comes at least `every` seconds if all is quiet, so that the caller can look
        whether it may still listen. Between batches no connection is held.
        """
        reader = self._reader(organization_id)
        try:
            while True:
                batch = await reader.after(seq)
                yield batch
                if batch:
                    seq = batch[-1].seq
                else:
                    await reader.news(seq, every)
        finally:
            self._leave(organization_id, reader)

    async def close(self) -> None:
        """Stop every reader."""
        readers, self._readers = list(self._readers.values()), {}
        for reader in readers:
            await reader.stop()

    def _reader(self, organization_id: UUID) -> "_Reader":
        reader = self._readers.get(organization_id)
        if reader is None:
            reader = _Reader(self._transaction, self._doorbell, organization_id)
            self._readers[organization_id] = reader
        reader.followers += 1
        return reader

    def _leave(self, organization_id: UUID, reader: "_Reader") -> None:
        reader.followers -= 1
        if not reader.followers:
            reader.task.cancel()
            if self._readers.get(organization_id) is reader:
                del self._readers[organization_id]


class _Reader:
    """Reads one organization's events once, as they come, for all who follow it."""

    def __init__(self, transaction: Transaction, doorbell: Doorbell, organization_id: UUID) -> None:
        self.followers = 0
        self._transaction = transaction
        self._doorbell = doorbell
        self._organization_id = organization_id
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._since: int | None = None  # every event after this number is in _kept
        self._read = asyncio.Condition()
        self.task = asyncio.create_task(self._go_on())

    async def after(self, seq: int) -> Sequence[Event]:
        """Return the next events after `seq`, from memory if they are all there."""
        if self._since is not None and seq >= self._since:
            return [event for event in self._kept if event.seq > seq][:BATCH]
        async with self._transaction() as session:
            return await after(session, self._organization_id, seq)

    async def news(self, seq: int, patience: float) -> None:
        """Wait until there is an event after `seq`, `patience` seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience), self._read:
                await self._read.wait_for(lambda: self._position() > seq)

    async def stop(self) -> None:
        """Stop reading."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    def _position(self) -> int:
        return self._kept[-1].seq if self._kept else (self._since or 0)

    async def _go_on(self) -> None:
        with self._doorbell.hear(str(self._organization_id)) as ringing:
            while True:
                ringing.clear()
                try:
                    while await self._look() == BATCH:
                        pass
                except (OSError, SQLAlchemyError) as error:
                    log.warning("the feed cannot read: %s", error)
                    await asyncio.sleep(RETRY)
                    continue
                except Exception:  # whatever it is, those who follow must not wait for ever
                    log.exception("the feed has failed")
                    await asyncio.sleep(RETRY)
                    continue
                with suppress(TimeoutError):
                    await asyncio.wait_for(ringing.wait(), LOOK_ANYWAY)

    async def _look(self) -> int:
        async with self._transaction() as session:
            if self._since is None:
                start = await latest(session, self._organization_id)
                batch: Sequence[Event] = []
            else:
                batch = await after(session, self._organization_id, self._position())
        async with self._read:
            if self._since is None:
                self._since = start
            self._keep(batch)
            self._read.notify_all()
        return len(batch)

    def _keep(self, batch: Sequence[Event]) -> None:
        for event in batch:
            if len(self._kept) == KEPT:
                self._since = self._kept[0].seq
            self._kept.append(event)
