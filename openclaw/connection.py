"""One connection to a gateway: it is opened, lets many ask at once, and ends once."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from openclaw import frames
from openclaw.dialing import dial
from openclaw.errors import GatewayError, Trouble, closed
from openclaw.frames import Answer, Event
from openclaw.protocol import Challenge, Hello, Target, connect_params
from openclaw.subscriptions import Hub

TO_CHALLENGE = 15.0  # seconds
TO_LET_IN = 30.0  # seconds
TO_CALL = 30.0  # seconds for one answer
FIRST = "connect"  # the id of the request that opens a connection
BROKEN = 1002  # the code with which we close on who does not keep to the protocol

log = logging.getLogger(__name__)


async def connect(
    target: Target, *, caps: Sequence[str] = (), hub: Hub | None = None
) -> "Connection":
    """Open a connection. Raises GatewayError, with what is in the way.

    Where the shared token is refused and the gateway would take the token that it once gave to our
    device, that one is tried.
    """
    token = target.token or target.device_token
    try:
        return await _connect(target, token, caps, hub or Hub())
    except GatewayError as error:
        other = target.device_token
        if not (error.details.get("canRetryWithDeviceToken") and other and other != token):
            raise
    return await _connect(target, other, caps, hub or Hub())


class Connection:
    """A gateway that has let us in. Any number of calls may wait for their answers."""

    def __init__(self, websocket: ClientConnection, hello: Hello, hub: Hub) -> None:
        self.hello = hello
        self.hub = hub
        self.ended: GatewayError | None = None
        self._websocket = websocket
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._number = 0
        self._reading = asyncio.create_task(self._read())

    async def __aenter__(self) -> "Connection":
        """Use it, and close it."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close it."""
        await self.close()

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, within: float = TO_CALL
    ) -> Any:
        """Ask for something, and return the answer. Raises GatewayError."""
        if self.ended is not None:
            raise self.ended
        self._number += 1
        id = str(self._number)
        raw = frames.request(id, method, params or {}, largest=self.hello.largest)
        self._waiting[id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(within):
                await self._websocket.send(raw)
                return (await self._waiting[id]).result()
        except TimeoutError:
            reason = f"The gateway did not answer {method} in {within:g} s."
            raise GatewayError(Trouble.TIMEOUT, reason) from None
        except ConnectionClosed as error:
            raise self.ended or _ended(error) from None
        finally:
            del self._waiting[id]

    async def wait_closed(self) -> GatewayError:
        """Wait until the connection has ended, and return why."""
        await asyncio.wait({self._reading})
        assert self.ended is not None
        return self.ended

    async def close(self) -> None:
        """End the connection. Who still waits for an answer gets none."""
        await self._websocket.close()
        await asyncio.wait({self._reading})

    async def _read(self) -> None:
        """Hand out what comes until nothing comes any more; who still waits then, waits in vain."""
        error = closed(None)
        try:
            error = await self._until_ended()
        finally:
            self.ended = error
            self.hub.lost()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(error)

    async def _until_ended(self) -> GatewayError:
        try:
            async for raw in self._websocket:
                self._take(frames.read(raw))
        except ConnectionClosed as error:
            return _ended(error)
        except GatewayError as malformed:
            log.warning("a gateway does not keep to the protocol: %s", malformed)
            await self._websocket.close(BROKEN)
            return malformed
        return closed(self._websocket.close_code)

    def _take(self, frame: Answer | Event | None) -> None:
        if isinstance(frame, Event):
            self.hub.tell(frame)
        elif isinstance(frame, Answer) and frame.id in self._waiting:
            waiting = self._waiting[frame.id]
            if not waiting.done():
                waiting.set_result(frame)


async def _connect(target: Target, token: str, caps: Sequence[str], hub: Hub) -> Connection:
    websocket = await dial(target.url, target.guard, allow_insecure_tls=target.allow_insecure_tls)
    try:
        hello = await _let_in(websocket, target, token, caps)
    except BaseException:
        await websocket.close()
        raise
    return Connection(websocket, hello, hub)


async def _let_in(
    websocket: ClientConnection, target: Target, token: str, caps: Sequence[str]
) -> Hello:
    """Take the challenge, show who we are, and hear whether we may come in."""
    try:
        async with asyncio.timeout(TO_CHALLENGE):
            challenge = await _challenge(websocket)
        params = connect_params(target, challenge, token, caps)
        await websocket.send(frames.request(FIRST, FIRST, params, largest=frames.LARGEST_FIRST))
        async with asyncio.timeout(TO_LET_IN):
            return Hello.of((await _first_answer(websocket)).result())
    except TimeoutError:
        reason = "Somebody is there, and does not say what a gateway says first."
        raise GatewayError(Trouble.TIMEOUT, reason) from None
    except ConnectionClosed as error:
        raise _ended(error) from None


async def _challenge(websocket: ClientConnection) -> Challenge:
    frame = frames.read(await websocket.recv())
    if not (isinstance(frame, Event) and frame.name == "connect.challenge"):
        raise GatewayError(Trouble.MALFORMED, "The gateway did not begin with its challenge.")
    return Challenge.of(frame.payload)


async def _first_answer(websocket: ClientConnection) -> Answer:
    while True:
        frame = frames.read(await websocket.recv())
        if isinstance(frame, Answer) and frame.id == FIRST:
            return frame


def _ended(error: ConnectionClosed) -> GatewayError:
    """Say why a connection ended: by the code of whoever closed it first."""
    said = error.sent if error.rcvd is None or error.rcvd_then_sent is False else error.rcvd
    return closed(said.code if said else None)
