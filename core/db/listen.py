"""Receive live updates between processes through PostgreSQL LISTEN and NOTIFY.

A notification carries a topic and no data: a subscriber reads the database with its own rights.
Several notifications can therefore be combined into one. Subscribers also poll every few seconds,
so that a lost connection delays updates but loses none.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager, suppress

import asyncpg

CHANNEL = "mission_control"  # the payload is a topic; PostgreSQL delivers it at commit
CONNECT_TIMEOUT = 10.0  # seconds
RECONNECT_DELAY = 0.5  # seconds
KEEPALIVE_INTERVAL = 5.0  # seconds between two checks of the connection

log = logging.getLogger(__name__)


class PostgresListener:
    """Distribute notifications to the subscribers of this process over one connection."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self._is_outage_logged = False
        self._subscribers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def subscribe(self, topic: str) -> Generator[asyncio.Event, None, None]:
        """Yield an event that is set on each notification of `topic`; the subscriber clears it."""
        notified = asyncio.Event()
        self._subscribers[topic].add(notified)
        try:
            yield notified
        finally:
            self._subscribers[topic].discard(notified)
            if not self._subscribers[topic]:
                del self._subscribers[topic]

    async def listen(self, dsn: str) -> None:
        """Listen until cancelled; reconnect whenever the connection is lost."""
        while True:
            try:
                await self._listen_until_lost(dsn)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                if not self._is_outage_logged:
                    log.warning("The listener cannot connect: %s", error)
                self._is_outage_logged = True
            except Exception:  # an unexpected error must not end live updates permanently
                log.exception("The listener has failed.")
            self.connected.clear()
            await asyncio.sleep(RECONNECT_DELAY)

    async def _listen_until_lost(self, dsn: str) -> None:
        lost = asyncio.Event()
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT)
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, self._on_notification)
            self.connected.set()
            self._is_outage_logged = False
            self._notify_all()
            while not lost.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(lost.wait(), KEEPALIVE_INTERVAL)
                    return
                await connection.execute("select 1", timeout=CONNECT_TIMEOUT)
        finally:
            connection.terminate()

    def _notify_all(self) -> None:
        """Wake all subscribers, because notifications sent while disconnected are lost."""
        for subscribers in self._subscribers.values():
            for notified in subscribers:
                notified.set()

    def _on_notification(
        self, _connection: object, _pid: int, _channel: str, topic: object
    ) -> None:
        for notified in self._subscribers.get(str(topic), ()):
            notified.set()
