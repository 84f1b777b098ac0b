"""Open one connection to a gateway and run concurrent calls over it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from websockets.exceptions import ConnectionClosed

from core.traces import trace
from openclaw import frames
from openclaw.errors import ErrorKind, GatewayError, connection_closed_error
from openclaw.frames import GatewayEvent, ResponseFrame
from openclaw.protocol import Challenge, GatewayTarget, Hello, build_connect_params
from openclaw.subscriptions import EventHub
from openclaw.websocket import GatewayWebSocket, open_gateway_websocket

CHALLENGE_TIMEOUT = 15.0  # seconds
CONNECT_TIMEOUT = 30.0  # seconds
CALL_TIMEOUT = 30.0  # seconds for one response
PROBE_INTERVAL = 2.0  # seconds between a pong and the next ping of `watch_answers`
PONG_TIMEOUT = 7.5  # seconds; with the interval, silence is reported within 10 s
CONNECT_REQUEST_ID = "connect"  # the id and method of the first request
PROTOCOL_ERROR_CODE = 1002  # the close code that we send after a protocol error

log = logging.getLogger(__name__)


async def open_connection(
    target: GatewayTarget, *, caps: Sequence[str] = (), hub: EventHub | None = None
) -> "GatewayConnection":
    """Open a connection. Raises GatewayError with the cause of a failure.

    If the gateway rejects the shared token but accepts device tokens, the stored device token is
    tried.
    """
    token = target.token or target.device_token
    try:
        return await _connect(target, token, caps, hub or EventHub())
    except GatewayError as error:
        device_token = target.device_token
        if not (
            error.details.get("canRetryWithDeviceToken") and device_token and device_token != token
        ):
            raise
    return await _connect(target, device_token, caps, hub or EventHub())


class GatewayConnection:
    """An authenticated connection to a gateway with any number of concurrent calls."""

    def __init__(self, websocket: GatewayWebSocket, hello: Hello, hub: EventHub) -> None:
        self.hello = hello
        self.hub = hub
        self.end_error: GatewayError | None = None
        self._websocket = websocket
        self._pending: dict[str, asyncio.Future[ResponseFrame | None]] = {}  # None at the end
        self._last_id = 0
        self._read_task = asyncio.create_task(self._read())

    async def __aenter__(self) -> "GatewayConnection":
        """Return the connection; it is closed at the end of the block."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close the connection."""
        await self.close()

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        time_limit: float = CALL_TIMEOUT,
    ) -> Any:
        """Call a method and return its result. `time_limit` is in seconds. Raises GatewayError."""
        if self.end_error is not None:
            raise self._get_end_error()
        self._last_id += 1
        id = str(self._last_id)
        raw = frames.encode_request(id, method, params or {}, max_size=self.hello.max_frame_size)
        self._pending[id] = asyncio.get_running_loop().create_future()
        try:
            with trace(f"gateway {method}", "client"):
                async with asyncio.timeout(time_limit):
                    await self._websocket.send(raw)
                    if (frame := await self._pending[id]) is None:
                        raise self._get_end_error()
                    return frame.result()
        except TimeoutError:
            reason = f"The gateway did not answer {method} in {time_limit:g} s."
            raise GatewayError(ErrorKind.TIMEOUT, reason) from None
        except ConnectionClosed as error:
            raise self._get_end_error(_close_error(error)) from None
        finally:
            del self._pending[id]

    async def wait_closed(self) -> GatewayError:
        """Wait until the connection has ended and return the reason."""
        await asyncio.wait({self._read_task})
        assert self.end_error is not None
        return self.end_error

    async def watch_answers(
        self, on_change: Callable[[Hello | GatewayError], Awaitable[None]]
    ) -> None:
        """Report when the gateway stops answering pings, and when it answers again.

        It stays connected meanwhile: a busy gateway may be silent for a while. Returns when the
        connection ends.
        """
        while self.end_error is None:
            ping = asyncio.create_task(self._ping())
            try:
                answered, _ = await asyncio.wait({ping}, timeout=PONG_TIMEOUT)
                if not answered:
                    reason = f"The gateway has not answered for {PONG_TIMEOUT:g} s."
                    await on_change(GatewayError(ErrorKind.UNRESPONSIVE, reason))
                if await ping and not answered:
                    await on_change(self.hello)
            finally:
                ping.cancel()
            await asyncio.sleep(PROBE_INTERVAL)

    async def _ping(self) -> bool:
        """Wait for the answer to a ping; return False if the connection ends before."""
        try:
            await (await self._websocket.ping())
        except ConnectionClosed:
            return False
        return True

    async def close(self) -> None:
        """Close the connection; pending calls fail."""
        await self._websocket.close()
        await asyncio.wait({self._read_task})

    def _get_end_error(self, default: GatewayError | None = None) -> GatewayError:
        """Return the error of all calls after the end, without the traces of earlier ones."""
        error = self.end_error or default
        assert error is not None
        return error.with_traceback(None)

    async def _read(self) -> None:
        """Dispatch frames until the connection ends; then fail all pending calls."""
        error = connection_closed_error(None)
        try:
            error = await self._read_until_closed()
        finally:
            self.end_error = error
            self.hub.mark_all_missed()
            # No exception: a call that still waits to be sent would not retrieve it.
            for future in self._pending.values():
                if not future.done():
                    future.set_result(None)

    async def _read_until_closed(self) -> GatewayError:
        try:
            async for raw in self._websocket:
                self._dispatch(await frames.decode_frame(raw))
        except ConnectionClosed as error:
            return _close_error(error)
        except GatewayError as malformed:
            log.warning("A gateway violates the protocol: %s", malformed)
            await self._websocket.close(PROTOCOL_ERROR_CODE)
            return malformed
        return connection_closed_error(self._websocket.close_code)

    def _dispatch(self, frame: ResponseFrame | GatewayEvent | None) -> None:
        if isinstance(frame, GatewayEvent):
            self.hub.publish(frame)
        elif isinstance(frame, ResponseFrame) and frame.id in self._pending:
            future = self._pending[frame.id]
            if not future.done():
                future.set_result(frame)


async def _connect(
    target: GatewayTarget, token: str, caps: Sequence[str], hub: EventHub
) -> GatewayConnection:
    websocket = await open_gateway_websocket(
        target.url,
        target.address_policy,
        ca_certificates=target.ca_certificates,
        allow_insecure_tls=target.allow_insecure_tls,
    )
    try:
        hello = await _authenticate(websocket, target, token, caps)
        websocket.set_size_limit(hello.max_frame_size)
    except BaseException:
        await websocket.close()
        raise
    return GatewayConnection(websocket, hello, hub)


async def _authenticate(
    websocket: GatewayWebSocket, target: GatewayTarget, token: str, caps: Sequence[str]
) -> Hello:
    """Sign the challenge of the gateway and request access."""
    try:
        async with asyncio.timeout(CHALLENGE_TIMEOUT):
            first = await frames.decode_frame(await websocket.recv())
        if not (isinstance(first, GatewayEvent) and first.name == "connect.challenge"):
            raise GatewayError(
                ErrorKind.MALFORMED, "The gateway did not start the handshake with its challenge."
            )
        params = build_connect_params(target, Challenge.parse(first.payload), token, caps)
        await websocket.send(
            frames.encode_request(
                CONNECT_REQUEST_ID,
                CONNECT_REQUEST_ID,
                params,
                max_size=frames.MAX_CONNECT_FRAME_SIZE,
            )
        )
        async with asyncio.timeout(CONNECT_TIMEOUT):
            while True:
                frame = await frames.decode_frame(await websocket.recv())
                if isinstance(frame, ResponseFrame) and frame.id == CONNECT_REQUEST_ID:
                    return Hello.parse(frame.result())
    except TimeoutError:
        reason = "The server answered, but did not start the handshake of a gateway."
        raise GatewayError(ErrorKind.TIMEOUT, reason) from None
    except ConnectionClosed as error:
        raise _close_error(error) from None


def _close_error(error: ConnectionClosed) -> GatewayError:
    """Return the error for a closed connection, from the code of the side that closed first."""
    close_frame = error.sent if error.rcvd is None or error.rcvd_then_sent is False else error.rcvd
    return connection_closed_error(close_frame.code if close_frame else None)
