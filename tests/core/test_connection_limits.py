"""Limits on open streams, and on requests that do not arrive completely."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext

import httpx2
import pytest
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.config.settings import Settings
from core.errors import RequestTimeout, TooMany
from core.http import incomplete_requests
from core.http.incomplete_requests import IncompleteRequestMiddleware
from core.http.server_protocol import LimitedHttpProtocol
from core.limiters import ConcurrencyLimiter

TIMEOUT = 20  # maximum seconds to wait for the server


def test_what_is_open_is_limited_per_key() -> None:
    limiter = ConcurrencyLimiter("Too many streams.")
    release = limiter.acquire({"alice": 1, "office": 2})
    with pytest.raises(TooMany, match=r"Too many streams. Try again in 5 s."):
        limiter.acquire({"alice": 1, "office": 2})
    assert limiter.count("office") == 1
    limiter.acquire({"bob": 1, "office": 2})
    with pytest.raises(TooMany):
        limiter.acquire({"charlie": 1, "office": 2})
    release()
    release()
    assert (limiter.count("alice"), limiter.count("office")) == (0, 1)
    limiter.acquire({"charlie": 1, "office": 2})


async def read_whole_body(_scope: Scope, receive: Receive, _send: Send) -> None:
    while (await receive()).get("more_body"):
        pass


def build_scope(**headers: str) -> Scope:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    state = {"settings": Settings()}
    return {"type": "http", "headers": raw, "client": ("192.0.2.1", 1), "state": state}


async def never() -> Message:
    return await asyncio.Future()


async def ignore(_: Message) -> None:
    pass


async def test_a_slow_body_ends_with_an_error() -> None:
    middleware = IncompleteRequestMiddleware(read_whole_body, timeout=0.01)
    with pytest.raises(RequestTimeout, match=r"The request was not complete after 0.01 s."):
        await middleware(build_scope(), never, ignore)
    assert middleware.limiter.count("network 192.0.2.1") == 0


async def test_incomplete_bodies_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incomplete_requests, "MAX_PER_CREDENTIAL", 2)
    monkeypatch.setattr(incomplete_requests, "MAX_PER_NETWORK", 3)
    middleware = IncompleteRequestMiddleware(read_whole_body)
    alice, bob = build_scope(Authorization="Bearer a"), build_scope(Authorization="Bearer b")
    waiting = [asyncio.create_task(middleware(alice, never, ignore)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(TooMany, match=r"Too many incomplete requests."):
        await middleware(alice, never, ignore)
    waiting.append(asyncio.create_task(middleware(bob, never, ignore)))
    await asyncio.sleep(0)
    with pytest.raises(TooMany):
        await middleware(build_scope(), never, ignore)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    async def whole() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    await middleware(alice, whole, ignore)


class FastProtocol(LimitedHttpProtocol):
    """The protocol with short times and low limits."""

    header_timeout = 0.05
    max_per_network = 3
    waiting = Counter()


async def respond(scope: Scope, receive: Receive, send: Send) -> None:
    await read_whole_body(scope, receive, send)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})


class SlowApp:
    """An application that sends the second half of its response when it is told to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.may_end = asyncio.Event()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first,", "more_body": True})
        await self.may_end.wait()
        await send({"type": "http.response.body", "body": b"second"})


@asynccontextmanager
async def run_server(app: ASGIApp = respond, *, keep_alive: int = 5) -> AsyncGenerator[int]:
    config = uvicorn.Config(
        app,
        port=0,
        log_config=None,
        http=FastProtocol,
        lifespan="off",
        timeout_keep_alive=keep_alive,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    [port] = [socket.getsockname()[1] for socket in server.servers[0].sockets]
    try:
        async with asyncio.timeout(TIMEOUT):
            yield port
    finally:
        server.should_exit = server.force_exit = True
        await running


async def read_until_closed(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    response = await reader.read()
    writer.close()
    return response


@pytest.mark.parametrize(
    "sent", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", b"\r\n", b"GET / HTTP/1.1\r\n"]
)
async def test_slow_headers_end_with_an_error(sent: bytes) -> None:
    async with run_server() as port:
        response = await read_until_closed(port, sent)
    assert response.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "request_timeout"' in response
    assert not FastProtocol.waiting


async def test_a_connection_without_a_request_is_closed() -> None:
    async with run_server() as port:
        assert await read_until_closed(port, b"") == b""
    assert not FastProtocol.waiting


async def test_line_breaks_after_a_request_do_not_keep_a_connection() -> None:
    async with run_server(keep_alive=1) as port:
        response = await read_until_closed(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 200 ")


async def test_the_rest_of_a_refused_body_is_not_taken_for_headers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse_early(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b"large"})

    monkeypatch.setattr(FastProtocol, "header_timeout", TIMEOUT)
    async with run_server(refuse_early) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin")
        await reader.readuntil(b"large\r\n0\r\n\r\n")
        for _ in range(10):
            writer.write(b"x" * 99_999)
            await writer.drain()
        writer.write(b"xxxxxGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 413 ")  # of the second request
        writer.close()
    assert not FastProtocol.waiting


async def test_large_headers_are_refused() -> None:
    async with run_server() as port:
        sent = b"GET / HTTP/1.1\r\nHost: a\r\nX-Much: " + b"x" * 65_536
        response = await read_until_closed(port, sent)
    assert response.startswith(b"HTTP/1.1 431 ")
    assert not FastProtocol.waiting


async def test_incomplete_requests_of_one_network_are_limited() -> None:
    async with run_server() as port:
        waiting = [asyncio.create_task(read_until_closed(port, b"G")) for _ in range(4)]
        responses = await asyncio.gather(*waiting)
        statuses = sorted(response.split()[1] for response in responses)
        assert statuses == [b"408", b"408", b"408", b"429"]
        async with httpx2.AsyncClient(timeout=20) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/")).text == "fine"
    assert not FastProtocol.waiting


POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nonce"


@asynccontextmanager
async def fill_limit(port: int) -> AsyncGenerator[None]:
    """Open as many connections as may wait for complete headers."""
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    while FastProtocol.waiting.total() < FastProtocol.max_per_network:
        await asyncio.sleep(0)
    yield
    for _, writer in opened:
        writer.close()


@pytest.mark.parametrize("sent", [POST, POST[:20]])
async def test_a_refused_request_is_not_started(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """A client repeats what was refused, so it would run twice."""
    monkeypatch.setattr(FastProtocol, "header_timeout", TIMEOUT)
    app = SlowApp()
    app.may_end.set()
    async with run_server(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST)
        await reader.readuntil(b"\r\n0\r\n\r\n")
        async with fill_limit(port):
            writer.write(sent)
            answer = await reader.readuntil(b"\r\n\r\n")
            writer.close()
    is_accepted = answer.startswith(b"HTTP/1.1 200 ")
    assert is_accepted == (sent == POST)  # it is complete, so it is not too much
    assert is_accepted or answer.startswith(b"HTTP/1.1 429 ")
    assert len(app.bodies) == 1 + is_accepted


@pytest.mark.parametrize(
    ("sent", "is_limited"),
    [
        (b"POST / HTTP/1.1\r\n", False),  # it is too slow
        (b"POST / HTTP/1.1\r\n", True),
        (b"POST / HTTP/1.1\r\nX-Much: " + b"x" * 65_536, False),
        (b"nonsense\r\n\r\n", False),
    ],
)
async def test_no_error_is_written_into_a_running_response(
    monkeypatch: pytest.MonkeyPatch, sent: bytes, is_limited: bool
) -> None:
    app, refused, closing = SlowApp(), asyncio.Event(), list[LimitedHttpProtocol]()
    refuse = LimitedHttpProtocol._close_after_response

    def close_after_response(protocol: LimitedHttpProtocol) -> None:
        refuse(protocol)
        closing.append(protocol)
        refused.set()

    monkeypatch.setattr(LimitedHttpProtocol, "_close_after_response", close_after_response)
    async with run_server(app) as port:
        if is_limited:
            monkeypatch.setattr(FastProtocol, "header_timeout", TIMEOUT)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST)
        response = await reader.readuntil(b"first,\r\n")
        async with fill_limit(port) if is_limited else nullcontext():
            writer.write(sent)
            await refused.wait()
        [protocol] = closing
        protocol.data_received(b"Host: a\r\nContent-Length: 5\r\n\r\ntwice")  # is ignored
        app.may_end.set()
        response += await reader.read()
        writer.close()
    assert response.endswith(b"\r\n\r\n6\r\nfirst,\r\n6\r\nsecond\r\n0\r\n\r\n")
    assert app.bodies == [b"once"]
    assert not FastProtocol.waiting
