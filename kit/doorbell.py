"""Live updates between processes, carried by PostgreSQL's LISTEN and NOTIFY.

A doorbell says that there is news, not what the news is: whoever hears it goes and looks in the
database, with their own rights. So a ring carries no data and two rings may become one. A hearer
looks every few seconds even if nothing rang, so a lost connection makes news late, never lost.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager, suppress

import asyncpg

CHANNEL = "mission_control"  # notified with a topic, to ring it when the transaction commits
CONNECT_TIMEOUT = 10.0  # seconds
RECONNECT_DELAY = 0.5  # seconds
STILL_THERE = 5.0  # seconds between two looks whether the connection still lives

log = logging.getLogger(__name__)


class Doorbell:
    """All that this process hears, over one connection of its own."""

    def __init__(self) -> None:
        self.listening = asyncio.Event()
        self._hearers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def hear(self, topic: str) -> Generator[asyncio.Event, None, None]:
        """Give an event that is set whenever `topic` rings. The hearer clears it."""
        ringing = asyncio.Event()
        self._hearers[topic].add(ringing)
        try:
            yield ringing
        finally:
            self._hearers[topic].discard(ringing)
            if not self._hearers[topic]:
                del self._hearers[topic]

    async def listen(self, dsn: str) -> None:
        """Listen until cancelled, and connect again whenever the connection is lost."""
        while True:
            try:
                await self._listen_until_lost(dsn)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                log.warning("doorbell cannot connect: %s", error)
            except Exception:  # whatever it is, the house must not go deaf for good
                log.exception("the doorbell has failed")
            self.listening.clear()
            await asyncio.sleep(RECONNECT_DELAY)

    async def _listen_until_lost(self, dsn: str) -> None:
        lost = asyncio.Event()
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT)
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, self._heard)
            self.listening.set()
            self._ring_all()
            while not lost.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(lost.wait(), STILL_THERE)
                    return
                await connection.execute("select 1", timeout=CONNECT_TIMEOUT)
        finally:
            connection.terminate()

    def _ring_all(self) -> None:
        """Send everybody to look: what rang while nobody listened was not heard."""
        for hearers in self._hearers.values():
            for ringing in hearers:
                ringing.set()

    def _heard(self, _connection: object, _pid: int, _channel: str, topic: object) -> None:
        for ringing in self._hearers.get(str(topic), ()):
            ringing.set()
