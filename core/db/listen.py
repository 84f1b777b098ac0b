"""Receive live updates between processes through PostgreSQL LISTEN and NOTIFY.

A notification carries a topic and no data: a subscriber reads the database with its own rights.
Several notifications can therefore be combined into one. A lost connection delays updates but loses
none: all subscribers are notified when it is open again, and `interruptions` has changed, so that a
subscriber knows that it may have missed a notification.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from core.db.engine import CONNECTION_ERRORS, connect_directly
from core.db.pooler import NOT_DIRECT, is_pooler

CHANNEL = "mission_control"  # the payload is a topic; PostgreSQL delivers it at commit
RECONNECT_DELAY = 0.5  # seconds
KEEPALIVE_INTERVAL = 30.0  # seconds between two checks of the connection
"""A server that stops or ends the session closes the connection, and is noticed at once. This check
finds connections that a network has dropped silently, where the system does not notice it."""
KEEPALIVE_TIMEOUT = 10.0  # seconds until the answer
OUTAGE_DELAY = 5.0  # seconds until a lost connection is an outage

Handler = Callable[[str | None], None]
"""Receives the part of a topic after the colon, or None if notifications may have been missed."""

log = logging.getLogger(__name__)


class PostgresListener:
    """Distribute notifications to the subscribers of this process over one connection."""

    def __init__(self, *, on_outage: Callable[[], None] = lambda: None) -> None:
        """Call `on_outage` whenever the connection was lost for OUTAGE_DELAY."""
        self._on_outage = on_outage
        self.connected = asyncio.Event()
        self.interruptions = 0  # how often the connection was lost
        self.problem = ""  # a sentence for the operator if notifications cannot arrive
        self._is_outage_logged = False
        self._outage: asyncio.TimerHandle | None = None  # until `on_outage` is called
        self._subscribers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._handlers: dict[str, Handler] = {}

    @contextmanager
    def subscribe(
        self, topic: str, notified: asyncio.Event | None = None
    ) -> Generator[asyncio.Event, None, None]:
        """Yield an event that is set on each notification of `topic`; the subscriber clears it.

        A subscriber to several topics can give the same event to all.
        """
        notified = notified or asyncio.Event()
        self._subscribers[topic].add(notified)
        try:
            yield notified
        finally:
            self._subscribers[topic].discard(notified)
            if not self._subscribers[topic]:
                del self._subscribers[topic]

    def add_handler(self, name: str, handler: Handler) -> None:
        """Call a function on each notification whose topic is `name:…`; it must not block."""
        self._handlers[name] = handler

    async def listen(self, dsn: str, application_name: str = "") -> None:
        """Listen until cancelled; reconnect whenever the connection is lost.

        The name of the connection is visible to other processes.
        """
        while True:
            try:
                await self._listen_until_lost(dsn, application_name)
            except CONNECTION_ERRORS as error:
                if not self._is_outage_logged:
                    log.warning("The listener cannot connect: %s", error)
                self._is_outage_logged = True
            except Exception:  # an unexpected error must not end live updates permanently
                log.exception("The listener has failed.")
            if self.connected.is_set():
                self.interruptions += 1
                self._outage = asyncio.get_running_loop().call_later(OUTAGE_DELAY, self._on_outage)
            self.connected.clear()
            await asyncio.sleep(RECONNECT_DELAY)

    async def _listen_until_lost(self, dsn: str, application_name: str) -> None:
        lost = asyncio.Event()
        connection = await connect_directly(dsn, {"application_name": application_name})
        try:
            self.problem = ""
            if await is_pooler(connection):
                self.problem = f"The address of the database {NOT_DIRECT}."
                raise ConnectionError(self.problem)
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, self._on_notification)
            if self._outage is not None:
                self._outage.cancel()
            self.connected.set()
            self._is_outage_logged = False
            self._notify_all()
            while not lost.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(lost.wait(), KEEPALIVE_INTERVAL)
                    return
                await connection.execute("select 1", timeout=KEEPALIVE_TIMEOUT)
        finally:
            connection.terminate()

    def report_missed_notification(self) -> None:
        """Handle the discovery of a change without a notification like a lost connection."""
        self.interruptions += 1
        self._notify_all()

    def _notify_all(self) -> None:
        """Notify all subscribers, because notifications sent while disconnected are lost."""
        for subscribers in self._subscribers.values():
            for notified in subscribers:
                notified.set()
        for handler in self._handlers.values():
            handler(None)

    def _on_notification(
        self, _connection: object, _pid: int, _channel: str, topic: object
    ) -> None:
        for notified in self._subscribers.get(str(topic), ()):
            notified.set()
        name, _, argument = str(topic).partition(":")
        if argument and name in self._handlers:
            self._handlers[name](argument)
