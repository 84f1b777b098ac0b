"""Few requests of one credential run at the same time, and disconnected clients are no errors."""

import asyncio
import logging
from collections.abc import Sequence

import pytest
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app import find_credentials
from core.config.settings import Settings
from core.http.middleware import ErrorMiddleware
from core.http.request_slots import RequestSlotsMiddleware, release_slots
from tests.support.secret_key import SECRET_KEY


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


def build_scope(authorization: str = "", **others: str) -> Scope:
    given = {"authorization": authorization, **others}
    headers = [(name.replace("_", "-").encode(), text.encode()) for name, text in given.items()]
    state = {"settings": Settings(secret_key=SECRET_KEY)}
    return {"type": "http", "method": "POST", "path": "/", "headers": headers, "state": state}


async def ignore(_: Message) -> None:
    pass


async def disconnect() -> Message:
    return {"type": "http.disconnect"}


async def start(middleware: RequestSlotsMiddleware, token: str, count: int):
    return await start_all(middleware, [build_scope(token)] * count)


async def start_all(middleware: RequestSlotsMiddleware, scopes: Sequence[Scope]):
    requests = [asyncio.create_task(middleware(scope, disconnect, ignore)) for scope in scopes]
    for _ in range(5):
        await asyncio.sleep(0)
    return requests


async def test_requests_of_a_credential_wait_for_a_slot() -> None:
    app = WaitingApp()
    middleware = RequestSlotsMiddleware(app, find_credentials, max_running=2)
    requests = await start(middleware, "Bearer a", 5)
    assert app.running == 2
    requests += await start(middleware, "Bearer b", 1)
    requests += await start(middleware, "", 3)
    assert app.running == 6
    requests[4].cancel()  # the client of a waiting request may leave
    app.may_end.set()
    await asyncio.gather(*requests, return_exceptions=True)
    assert app.running == 0
    assert not middleware._slots


@pytest.mark.parametrize(
    "variants",
    [
        [{"authorization": f"bearer {' ' * n}a"} for n in range(5)],
        [{"authorization": "Bearer a", "cookie": f"mission_control={n}"} for n in range(5)],
        [{"authorization": f"Bearer {n}", "x_agent_token": "a"} for n in range(5)],
        [{"authorization": "Bearer a", "x_agent_token": f"{n}"} for n in range(5)],
        [{"cookie": f"mission_control=a; other={n}"} for n in range(5)],
    ],
    ids=["spaces", "another session", "another user", "another agent", "another cookie"],
)
async def test_a_credential_has_no_more_slots_with_other_ones(variants) -> None:
    app = WaitingApp()
    middleware = RequestSlotsMiddleware(app, find_credentials, max_running=2)
    requests = await start_all(middleware, [build_scope(**one) for one in variants])
    assert app.running == 2
    app.may_end.set()
    await asyncio.gather(*requests)
    assert app.running == 0
    assert not middleware._slots


async def test_a_request_that_waits_for_a_gateway_releases_its_slot() -> None:
    app = WaitingApp()

    async def wait_for_gateway(scope: Scope, receive: Receive, send: Send) -> None:
        release_slots(HTTPConnection(scope))
        await app(scope, receive, send)

    middleware = RequestSlotsMiddleware(wait_for_gateway, find_credentials, max_running=2)
    requests = await start(middleware, "Bearer a", 5)
    assert app.running == 5
    app.may_end.set()
    await asyncio.gather(*requests)
    assert not middleware._slots


async def test_static_files_take_no_slot() -> None:
    app = WaitingApp()
    middleware = RequestSlotsMiddleware(app, find_credentials, max_running=2)
    scopes = [{**build_scope("Bearer a"), "path": "/static/live.js"}] * 5
    requests = await start_all(middleware, scopes)
    assert app.running == 5
    app.may_end.set()
    await asyncio.gather(*requests)


@pytest.mark.parametrize("path", ["/events", "/api/v1/agents/stream"])
async def test_streams_of_all_callers_wait_for_each_other_until_they_start(path: str) -> None:
    """The responses of this application are no streams yet."""
    app = WaitingApp()
    middleware = RequestSlotsMiddleware(app, find_credentials, max_running=2)
    scopes = [{**build_scope(f"Bearer {n}"), "path": path} for n in range(5)]
    requests = await start_all(middleware, scopes)
    assert app.running == 2
    app.may_end.set()
    await asyncio.gather(*requests)
    assert not middleware._slots


async def test_event_streams_take_no_slot() -> None:
    app = WaitingApp("text/event-stream; charset=utf-8")
    requests = await start(
        RequestSlotsMiddleware(app, find_credentials, max_running=2), "Bearer a", 5
    )
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
