"""Few requests of one credential run at the same time, and disconnected clients are no errors."""

import asyncio
import logging

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from core.http.middleware import ErrorMiddleware
from core.http.request_turns import RequestTurnsMiddleware


class WaitingApp:
    """An application whose requests run until they may end; some start an event stream."""

    def __init__(self, content_type: str = "text/html") -> None:
        self.running = 0
        self.may_end = asyncio.Event()
        self.headers = [(b"content-type", content_type.encode())]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        self.running += 1
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        await self.may_end.wait()
        self.running -= 1


def build_scope(token: str) -> Scope:
    headers = [(b"authorization", token.encode())] if token else []
    return {"type": "http", "method": "POST", "path": "/", "headers": headers}


async def ignore(_: Message) -> None:
    pass


async def disconnect() -> Message:
    return {"type": "http.disconnect"}


async def start(middleware: RequestTurnsMiddleware, token: str, count: int):
    requests = [
        asyncio.create_task(middleware(build_scope(token), disconnect, ignore))
        for _ in range(count)
    ]
    for _ in range(5):
        await asyncio.sleep(0)
    return requests


async def test_requests_of_a_credential_wait_for_their_turn() -> None:
    app = WaitingApp()
    middleware = RequestTurnsMiddleware(app, max_running=2)
    requests = await start(middleware, "Bearer a", 5)
    assert app.running == 2
    requests += await start(middleware, "Bearer b", 1)
    requests += await start(middleware, "", 3)
    assert app.running == 6
    requests[4].cancel()  # the client of a waiting request may leave
    app.may_end.set()
    await asyncio.gather(*requests, return_exceptions=True)
    assert app.running == 0
    assert not middleware._turns


async def test_event_streams_take_no_turn() -> None:
    app = WaitingApp("text/event-stream; charset=utf-8")
    requests = await start(RequestTurnsMiddleware(app, max_running=2), "Bearer a", 5)
    assert app.running == 5
    app.may_end.set()
    await asyncio.gather(*requests)


async def test_a_client_that_disconnects_is_not_logged_as_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def read_body(scope: Scope, receive: Receive, _send: Send) -> None:
        await Request(scope, receive).body()

    async def fail(_request: Request, error: Exception) -> Response:
        raise error

    with caplog.at_level(logging.INFO):
        await ErrorMiddleware(read_body, fail)(build_scope(""), disconnect, ignore)
    assert caplog.records == []
    with pytest.raises(ClientDisconnect):
        await read_body(build_scope(""), disconnect, ignore)
