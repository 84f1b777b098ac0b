"""Send server-sent events with one task for each client.

The library sse-starlette formats the messages. Its own response has four tasks and a timer for each
client; they take more memory and time for each event than the rest of a stream.
"""

import asyncio
import logging
import weakref
from collections.abc import AsyncGenerator, Callable

from sse_starlette import ServerSentEvent
from sse_starlette.sse import AppStatus
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from core.db.engine import is_temporary_error
from core.metrics import OPEN_STREAMS

PING_INTERVAL = 15.0  # seconds until a keep-alive comment is sent, as in the original
SERVER_SEND = "mission_control.send"
"""The key in the scope of the server's own function, which sends the messages directly: middleware
only adds to the start of a response, but would take a third of the time of each message."""
STREAM_PATHS = ("/events", "/stream")  # their ends
STREAM_TYPE = b"text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Connection": "keep-alive"}
PING = ServerSentEvent(comment="ping").encode()

log = logging.getLogger(__name__)

_open_streams: set["EventStreamResponse"] = set()
OPEN_STREAMS.set_function(lambda: len(_open_streams))


class EventStreamResponse(Response):
    """Sends messages until they end, the client disconnects, or the server stops."""

    media_type = "text/event-stream"

    def __init__(self, messages: AsyncGenerator[bytes, None], on_end: Callable[[], None]) -> None:
        self.status_code, self.background = 200, None
        self.init_headers(HEADERS)
        self._messages = messages
        self._on_end = on_end
        self._sender: asyncio.Task[object] | None = None
        weakref.finalize(self, on_end)  # if the response is never sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await self._send_messages(scope.get(SERVER_SEND, send), receive)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._on_end()

    def stop(self, _: object = None) -> None:
        """End the stream, if it has not ended."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.cancel()

    async def _send_messages(self, send: Send, receive: Receive) -> None:
        self._sender = sender = asyncio.current_task()
        disconnection = asyncio.ensure_future(wait_for_disconnection(receive))
        disconnection.add_done_callback(self.stop)
        _open_streams.add(self)
        try:
            while not AppStatus.should_exit and (message := await self._next_message()) is not None:
                await send({"type": "http.response.body", "body": message, "more_body": True})
        except asyncio.CancelledError:
            if self._sender is not None or sender is None or sender.uncancel():
                raise
        finally:
            self._sender = None
            _open_streams.discard(self)
            disconnection.cancel()
            await self._messages.aclose()

    async def _next_message(self) -> bytes | None:
        """Return the next message, or None after the last one and in a database outage.

        A client that reconnects misses no event.
        """
        try:
            return await anext(self._messages, None)
        except Exception as error:
            if not is_temporary_error(error):
                raise
            log.warning("A stream ends, because the database cannot be read: %s", error)
            return None


async def wait_for_disconnection(receive: Receive) -> None:
    """Return when the client has closed the connection. The rest of a body is discarded."""
    while (await receive())["type"] != "http.disconnect":
        pass


def is_event_stream(message: Message) -> bool:
    """Return whether the start of a response is that of an event stream."""
    return any(
        name.lower() == b"content-type" and value.startswith(STREAM_TYPE)
        for name, value in message.get("headers", ())
    )


def end_event_streams() -> None:
    """End all streams, because the server stops or has no database. Clients reconnect."""
    for stream in list(_open_streams):
        stream.stop()
