"""Limit the bytes of responses that the process holds because clients have not taken them.

The server writes a whole response at once, and what the system does not accept stays in memory
until the client has taken it. docs/decisions/rate-limits.md has the limits and their reasons.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import TooMany
from core.http.caller import Caller
from core.http.client_address import get_client_ip, rate_limit_network
from core.http.event_stream import is_event_stream
from core.metrics import REJECTIONS
from core.text import N_

MB = 1024 * 1024
MAX_OF_CALLER = 64 * MB
MAX_OF_GROUP = 128 * MB  # of all agents of an organization
MAX_OF_PROCESS = 256 * MB
MIN_OF_CALLER = MB  # also while the process is at its limit, so that few cannot stop all others
ALWAYS_SENT = 4_096  # bytes of a response that is sent in any case, such as an error
STALL_TIMEOUT = 30.0  # seconds in which a client must take MIN_PROGRESS, or all that is left
MIN_PROGRESS = 32 * 1024  # bytes
CHECK_INTERVAL = 5.0  # seconds
RETRY_AFTER = 5  # seconds
SCOPE_KEY = "mission_control.unsent_bytes"

log = logging.getLogger("mission_control")

Refuse = Callable[[Request, Exception], Awaitable[ASGIApp]]


class UnsentBytes:
    """Counts the unsent bytes of all connections of a process, by caller."""

    def __init__(self) -> None:
        self.total = 0
        self._by_key: Counter[str] = Counter()
        self._connections: set[ConnectionBytes] = set()
        self._timer: asyncio.TimerHandle | None = None

    def open(self, transport: asyncio.Transport) -> "ConnectionBytes":
        """Count a connection until it is closed."""
        opened = ConnectionBytes(self, transport)
        self._connections.add(opened)
        if self._timer is None:
            self._start_timer()
        return opened

    def check(self, caller: Caller, size: int = 1) -> None:
        """Check that the caller may have `size` bytes more. Raises TooMany.

        Who has read everything may have one response of any size.
        """
        left, of_group = self._by_key[caller.key], self._by_key[caller.group]
        if (
            (left and left + size > MAX_OF_CALLER)
            or (caller.group and of_group and of_group + size > MAX_OF_GROUP)
            or (left + size > MIN_OF_CALLER and self.total and self.total + size > MAX_OF_PROCESS)
        ):
            REJECTIONS.labels("unsent_bytes").inc()
            reason = N_("Too much of what you opened before is still being loaded.")
            raise TooMany(RETRY_AFTER, reason, code="responses_not_read")

    def count(self, key: str) -> int:
        """Return the unsent bytes of a caller or a group."""
        return self._by_key[key]

    def check_connections(self, now: float) -> None:
        """Count the rest of small responses, and close connections whose client does not read."""
        for one in list(self._connections):
            one.check(now)

    def _add(self, caller: Caller | None, size: int) -> None:
        self.total += size
        for key in (caller.key, caller.group) if caller else ():
            self._by_key[key] += size
            if not self._by_key[key]:
                del self._by_key[key]

    def _forget(self, connection: "ConnectionBytes") -> None:
        self._connections.discard(connection)
        if self._timer and not self._connections:
            self._timer.cancel()
            self._timer = None

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(CHECK_INTERVAL, self._check_again)

    def _check_again(self) -> None:
        self._start_timer()
        self.check_connections(asyncio.get_running_loop().time())


class ConnectionBytes:
    """The unsent bytes of one connection.

    While the transport is paused, all that was left then is counted: it keeps a response in memory
    until its last byte is sent. At other times a connection has less than its high-water mark.
    """

    def __init__(self, unsent: UnsentBytes, transport: asyncio.Transport) -> None:
        self.caller: Caller | None = None
        self._unsent, self._transport = unsent, transport
        self._size = 0  # as counted
        self._is_paused = False
        self._progress_at: float | None = None  # when the client was last known to take bytes
        self._left = 0  # the most that was left since then

    def assign(self, caller: Caller | None) -> None:
        """Count the bytes for the caller of the current request."""
        size = self._size
        self._set_size(0)
        self.caller = caller
        self._set_size(size)

    def check_limits(self, size: int = 1) -> None:
        """Check that the caller may have `size` bytes more. Raises TooMany."""
        assert self.caller is not None
        self._unsent.check(self.caller, size)

    def pause(self) -> None:
        """Count what is left; the transport accepts no more until all of it is sent."""
        self._is_paused = True
        self._set_size(self._transport.get_write_buffer_size())

    def resume(self) -> None:
        """Record that all bytes are sent."""
        self._is_paused = False
        self._set_size(0)
        self.record_progress()

    def record_progress(self) -> None:
        """Give the client time again."""
        self._progress_at = None

    def check(self, now: float) -> None:
        """Count what is left, and close the connection if the client has not read for too long."""
        left = self._transport.get_write_buffer_size()
        if not self._is_paused:
            self._set_size(left)
        if not left:
            self.record_progress()
        elif self._progress_at is None or left <= self._left - MIN_PROGRESS:
            self._progress_at, self._left = now, left
        elif now - self._progress_at < STALL_TIMEOUT:
            self._left = max(self._left, left)
        else:
            log.info("A connection is closed, because its client does not read (%d bytes).", left)
            self._transport.abort()

    def close(self) -> None:
        """Forget the connection."""
        self._set_size(0)
        self._unsent._forget(self)

    def _set_size(self, size: int) -> None:
        if size != self._size:
            self._unsent._add(self.caller, size - self._size)
            self._size = size


class UnsentBytesMiddleware:
    """Responds with 429 in place of a response that does not fit.

    Only GET requests are refused: others have changed data by then, and a client would repeat them.
    """

    def __init__(self, app: ASGIApp, refuse: Refuse) -> None:
        self.app = app
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, and send its response if it fits."""
        connection: ConnectionBytes | None = scope.get(SCOPE_KEY)
        if scope["type"] != "http" or connection is None:
            await self.app(scope, receive, send)
            return
        connection.assign(None)  # until the caller is known
        start: Message | None = None

        async def send_if_it_fits(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                if connection.caller is None:
                    connection.assign(_find_network(scope))
                if scope["method"] == "GET" and not is_event_stream(message):
                    start = message
                    return
            elif start is not None:
                begun, start = start, None
                await self._check_limits(connection, message, scope, receive, send)
                await send(begun)
            await send(message)

        try:
            await self.app(scope, receive, send_if_it_fits)
        except _ResponseRefused:
            pass
        else:
            if start is not None:  # an error of the application: it sent no body
                await send(start)

    async def _check_limits(
        self,
        connection: ConnectionBytes,
        message: Message,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        size = len(message.get("body", b""))
        try:
            if size > ALWAYS_SENT:
                connection.check_limits(size)
        except TooMany as error:
            response = await self.refuse(Request(scope), error)
            await response(scope, receive, send)
            raise _ResponseRefused from None


class _ResponseRefused(ClientDisconnect):
    """Ends the application: nobody receives its response."""


def _find_network(scope: Scope) -> Caller:
    connection = HTTPConnection(scope)
    trusted = scope["state"]["settings"].trusted_proxies
    return Caller.from_network(rate_limit_network(get_client_ip(connection, trusted)))
