"""The HTTP protocol of the server, with limits on incomplete requests and unsent responses."""

import asyncio
import json
import socket
from collections import Counter
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from core.http import unsent_bytes
from core.http.client_address import rate_limit_network
from core.http.unsent_bytes import ConnectionBytes, UnsentBytes

MAX_HEADER_SIZE = 64 * 1024  # bytes
MAX_PER_NETWORK = 2_000  # connections without complete headers; pages reconnect all at once


class LimitedHttpProtocol(HttpToolsProtocol):
    """Closes connections whose request headers are slow, too large or too many at once.

    It counts the bytes of responses that clients have not taken, and starts the next request of a
    connection when the client has taken the last response.
    """

    header_timeout: ClassVar[float] = 20.0  # seconds until the headers must be complete
    max_per_network: ClassVar[int] = MAX_PER_NETWORK
    waiting: ClassVar[Counter[str]] = Counter()  # by network

    _timer: asyncio.TimerHandle | None = None
    _header_size = 0
    _network = ""
    _is_excess = False  # too many of the network were waiting when this one began
    _is_refused = False
    _has_body_left = False  # the body of the last request is incomplete
    _unsent: ConnectionBytes
    _postponed: tuple[RequestResponseCycle, Any] | None = None  # a request that is not started yet

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection until the headers are complete."""
        super().connection_made(transport)
        unsent: UnsentBytes = self.app_state.setdefault("unsent_bytes", UnsentBytes())
        self._unsent = unsent.open(transport)
        # Only at 0 the transport has released the response, of which it keeps even the sent part.
        transport.set_write_buffer_limits(high=HIGH_WATER_LIMIT, low=0)
        _limit_unsent_bytes_in_system(transport)
        self._network = rate_limit_network(self.client[0] if self.client else "unknown")
        self._begin_headers()
        self._check_limits()

    def data_received(self, data: bytes) -> None:
        """Parse data, and check the limits if the headers are still incomplete.

        The parser continues after a callback, so a request that is refused in one might start.
        """
        if self._is_refused:
            return
        if not (self._has_body_left and self.cycle and self.cycle.response_complete):
            self._header_size += len(data)  # else the request was refused before its end
        super().data_received(data)
        has_timer = self._timer is not None or self.timeout_keep_alive_task is not None
        if not (self._is_responding() or has_timer or self.transport.is_closing()):
            self._begin_headers()  # line breaks between two requests
        self._check_limits()

    def on_message_begin(self) -> None:
        """Begin a request; a connection may be used for several."""
        super().on_message_begin()
        cast(dict[str, Any], self.scope)[unsent_bytes.SCOPE_KEY] = self._unsent
        if self._timer is None:
            self._begin_headers()
            self._header_size = 1  # or more: the rest of the data may belong to the last request

    def on_headers_complete(self) -> None:
        """Start the request."""
        self._end_headers()
        self._has_body_left = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request."""
        self._has_body_left = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Respond to data that is not HTTP, unless that would be inside another response."""
        is_begun = self.cycle and (self.cycle.response_started or not self.cycle.more_body)
        if self._is_responding() and (self.pipeline or is_begun):
            self._close_after_response()
        else:
            super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """Start the next request, if there is one."""
        super().on_response_complete()
        self._unsent.record_progress()

    def pause_writing(self) -> None:
        """Count a response that the system does not accept at once."""
        super().pause_writing()
        self._unsent.pause()

    def resume_writing(self) -> None:
        """Start the request that waited until the client has taken the last response."""
        super().resume_writing()
        self._unsent.resume()
        if self._postponed is not None and not self.transport.is_closing():
            (cycle, app), self._postponed = self._postponed, None
            self._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_headers()
        self._unsent.close()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self.flow.write_paused:
            self._postponed = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _begin_headers(self) -> None:
        self._header_size = 0
        self.waiting[self._network] += 1
        self._timer = self.loop.call_later(self.header_timeout, self._expire)
        self._is_excess = self.waiting[self._network] > self.max_per_network

    def _end_headers(self) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self.waiting[self._network] -= 1
        if not self.waiting[self._network]:
            del self.waiting[self._network]

    def _check_limits(self) -> None:
        if self._timer is None or self.transport.is_closing():
            return
        if self._header_size > MAX_HEADER_SIZE:
            self._refuse(431, "headers_too_large", "The headers of the request are too large.")
        elif self._is_excess:
            self._refuse(429, "rate_limited", "Too many incomplete requests. Try again in 5 s.")

    def _expire(self) -> None:
        if self._header_size:
            reason = f"The request was not complete after {self.header_timeout:g} s."
            self._refuse(408, "request_timeout", reason)
        else:
            self._end_headers()
            self.transport.close()  # browsers open connections in advance

    def _refuse(self, status: int, code: str, reason: str) -> None:
        """Respond, and close the connection. A response that is being sent ends first."""
        self._end_headers()
        if self._is_responding():
            self._close_after_response()
            return
        body = json.dumps({"detail": reason, "code": code}).encode()
        head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        retry = "retry-after: 5\r\n" if status == 429 else ""
        end = f"{head}{retry}connection: close\r\n\r\n".encode()
        self.transport.write(STATUS_LINE[status] + end + body)
        self.transport.close()

    def _close_after_response(self) -> None:
        """Ignore what else arrives, and close the connection after the last response."""
        self._is_refused = True
        self._end_headers()
        self.cycle.keep_alive = False

    def _is_responding(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete


def _limit_unsent_bytes_in_system(transport: asyncio.Transport) -> None:
    """Let the system buffer less of a response, by default up to 4 MB of each connection.

    It reports also more often that a slow client has taken something.
    """
    connected = transport.get_extra_info("socket")
    if hasattr(socket, "TCP_NOTSENT_LOWAT") and connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 128 * 1024)
