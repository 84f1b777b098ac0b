"""What clients do not read is limited for each caller and for the process, and given up in time."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import uvicorn
import uvloop
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from core.config.settings import Settings
from core.errors import AppError, TooMany
from core.http import unsent_bytes
from core.http.caller import Caller
from core.http.compression import CompressionMiddleware
from core.http.event_stream import EventStreamResponse
from core.http.request_slots import recognize_caller
from core.http.server_protocol import LimitedHttpProtocol
from core.http.unsent_bytes import (
    MIN_PROGRESS,
    STALL_TIMEOUT,
    UnsentBytes,
    UnsentBytesMiddleware,
)
from tests.support.tiers import repetition
from tests.support.unread_connection import UnreadConnection

TIMEOUT = 20  # maximum seconds to wait for the server
SIZE = 1_000_000  # bytes of a response
BYTE = b"#"
KEPT = 600_000  # bytes of an unread response that the process still has, at least


async def refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TooMany)
    headers = {"Retry-After": str(error.retry_after)}
    return JSONResponse({"code": error.code}, 429, headers)


class BytesApp:
    """An application that sends the caller a large response, or a stream."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.settings = Settings()
        self.ended: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["settings"] = self.settings
        guarded = UnsentBytesMiddleware(CompressionMiddleware(self.respond), refuse)
        await guarded(scope, receive, send)

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        path, name = scope["path"], connection.headers.get("X-Caller")
        self.requests.append(path)
        try:
            if name:
                caller = Caller(f"user {name}", connection.headers.get("X-Group", ""))
                recognize_caller(connection, "", caller)
            response = self._build_response(path)
        except AppError as error:
            response = await refuse(Request(scope), error)
        try:
            await response(scope, receive, send)
        finally:
            self.ended.append(path)

    def _build_response(self, path: str) -> Response:
        if path == "/stream":
            return EventStreamResponse(self._generate(), lambda: None)
        if path == "/export":
            return StreamingResponse(self._generate(), media_type="application/x-ndjson")
        sizes = {"/small": 1_000, "/medium": 60_000, "/huge": 20 * SIZE}
        return Response(BYTE * sizes.get(path, SIZE), media_type="text/html")

    async def _generate(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"data: x\r\n\r\n" * 1_000
                await asyncio.sleep(0)
        finally:
            self.ended.append("generator")


class RunningServer:
    """A server, and what it counts."""

    def __init__(self, server: uvicorn.Server, app: BytesApp) -> None:
        [self.port] = [socket.getsockname()[1] for socket in server.servers[0].sockets]
        self.server, self.app = server, app
        state = server.lifespan.state
        self.unsent: UnsentBytes = state.setdefault("unsent_bytes", UnsentBytes())

    def connect(self) -> UnreadConnection:
        return UnreadConnection(self.port)

    async def wait_until(self, is_true: Callable[[], object]) -> None:
        while not is_true():
            await asyncio.sleep(0)

    async def wait_for_requests(self, count: int) -> None:
        """Wait until requests were handled, and nothing is sent for a moment."""
        await self.wait_until(lambda: len(self.app.ended) >= count)
        for _ in range(20):
            await asyncio.sleep(0)

    async def wait_until_postponed(self) -> None:
        """Wait until the server has a request that it does not start yet."""
        [connection] = self.server.server_state.connections
        assert isinstance(connection, LimitedHttpProtocol)
        await self.wait_until(lambda: connection._postponed)

    def count_transports(self) -> int:
        """Return what the transports have, independent of what is counted."""
        opened = list(self.server.server_state.connections)
        return sum(one.transport.get_write_buffer_size() for one in opened)


@asynccontextmanager
async def run_server() -> AsyncGenerator[RunningServer]:
    app = BytesApp()
    config = uvicorn.Config(app, port=0, log_config=None, http=LimitedHttpProtocol, lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    opened = RunningServer(server, app)
    try:
        async with asyncio.timeout(TIMEOUT):
            yield opened
            await opened.wait_until(lambda: not server.server_state.connections)
    finally:
        server.should_exit = server.force_exit = True
        await running
    assert opened.unsent.total == 0
    assert not opened.unsent._by_key
    assert not opened.unsent._connections
    assert opened.unsent._timer is None


@pytest.fixture(
    params=[
        pytest.param(asyncio.new_event_loop, id="asyncio", marks=repetition),
        pytest.param(uvloop.new_event_loop, id="uvloop"),
    ],
    name="run",
)
def run_in_loop(request: pytest.FixtureRequest) -> Callable[..., Awaitable[None]]:
    """Run a test in an event loop of its own: that of the server is uvloop."""

    def run(test: Callable[[], Awaitable[None]]) -> None:
        async def run_test() -> None:
            await test()

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(run_test())

    return lambda test: asyncio.to_thread(run, test)


async def read_bodies(client: UnreadConnection, count: int) -> None:
    """Read until a number of responses has arrived on a connection."""
    while client.received.count(BYTE) < count * SIZE:
        assert await client.read(65_536)


async def test_an_unread_response_counts_until_its_last_byte_is_read(run) -> None:
    async def test() -> None:
        async with run_server() as server:
            with server.connect().send("GET", "/", X_Caller="alice") as client:
                await server.wait_for_requests(1)
                counted = server.unsent.total
                assert KEPT < counted < SIZE
                [connection] = server.server.server_state.connections
                assert connection.transport.get_write_buffer_limits()[0] == 0
                assert server.unsent.count("user alice") == counted == server.count_transports()
                while server.count_transports() == counted:
                    await client.read(65_536)
                    await asyncio.sleep(0)
                assert server.unsent.total == counted  # the transport keeps the whole response
                await read_bodies(client, 1)
                await server.wait_until(lambda: not server.unsent.total)
                assert client.send("GET", "/small", X_Caller="alice")
                assert await client.read_status() == 200

    await run(test)


async def test_a_client_that_leaves_gives_its_bytes_back(run) -> None:
    async def test() -> None:
        async with run_server() as server:
            with server.connect().send("GET", "/", X_Caller="alice"):
                await server.wait_for_requests(1)
                assert server.unsent.total > KEPT
            await server.wait_until(lambda: not server.unsent.total)

    await run(test)


async def open_unread(
    stack: AsyncExitStack, server: RunningServer, count: int, path: str = "/", **headers: str
) -> list[int]:
    """Request `path` on connections that are not read, and return the statuses."""
    opened = []
    for number in range(count):
        client = stack.enter_context(server.connect())
        before = len(server.app.ended)
        client.send("GET", path, **{"X_Caller": f"caller-{number}"} | headers)
        await server.wait_for_requests(before + 1)
        opened.append(client)
    return [await client.read_status() for client in opened]


async def test_the_unsent_bytes_of_a_caller_are_limited(
    monkeypatch: pytest.MonkeyPatch, run
) -> None:
    monkeypatch.setattr(unsent_bytes, "MAX_OF_CALLER", 3 * SIZE)

    async def test() -> None:
        async with run_server() as server, AsyncExitStack() as stack:
            statuses = await open_unread(stack, server, 20, X_Caller="alice")
            assert statuses[:3] == [200] * 3
            assert statuses[-10:] == [429] * 10
            assert 3 * KEPT < server.unsent.count("user alice") <= 3 * SIZE
            assert await open_unread(stack, server, 1, "/small", X_Caller="alice") == [200]
            assert await open_unread(stack, server, 1, X_Caller="bob") == [200]

    await run(test)


async def test_a_refused_response_says_when_to_repeat_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unsent_bytes, "MAX_OF_CALLER", SIZE)
    async with run_server() as server, AsyncExitStack() as stack:
        assert await open_unread(stack, server, 1, X_Caller="alice") == [200]
        with server.connect().send("GET", "/", X_Caller="alice") as client:
            response = await client.read_until(b"}")
            assert response.startswith(b"HTTP/1.1 429 ")
            assert b"retry-after: 5\r\n" in response
            assert response.endswith(b'{"code":"responses_not_read"}')
            client.send("GET", "/small", X_Caller="alice")  # the connection can be used again
            assert await client.read_status() == 200


async def test_compressed_responses_count_as_they_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsent_bytes, "MAX_OF_CALLER", SIZE)
    async with run_server() as server, AsyncExitStack() as stack:
        assert await open_unread(stack, server, 1, X_Caller="alice") == [200]
        left = server.unsent.total
        asked = {"X_Caller": "alice", "Accept_Encoding": "zstd"}
        assert await open_unread(stack, server, 1, **asked) == [200]
        assert server.unsent.total == left


@pytest.mark.parametrize("limit", ["MAX_OF_CALLER", "MAX_OF_GROUP", "MAX_OF_PROCESS"])
async def test_who_has_read_everything_gets_a_response_of_any_size(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Else an object that is larger than the limit could never be read."""
    monkeypatch.setattr(unsent_bytes, "MIN_OF_CALLER", 100_000)
    monkeypatch.setattr(unsent_bytes, limit, SIZE // 2)
    sender = {"X_Caller": "alice", "X_Group": "agents of tern"}
    async with run_server() as server, AsyncExitStack() as stack:
        assert await open_unread(stack, server, 1, **sender) == [200]
        assert await open_unread(stack, server, 1, **sender) == [429]


async def test_a_request_that_changed_something_is_never_refused_for_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client would send it again. Before it is handled, it is refused above the limit."""
    monkeypatch.setattr(unsent_bytes, "MAX_OF_CALLER", KEPT)
    async with run_server() as server:
        with server.connect().send("POST", "/", X_Caller="alice", Content_Length="0") as client:
            await server.wait_for_requests(1)
            assert await client.read_status() == 200
            with server.connect() as other:
                other.send("POST", "/", X_Caller="alice", Content_Length="0")
                assert await other.read_status() == 429


async def test_the_agents_of_an_organization_have_a_limit_in_common(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unsent_bytes, "MAX_OF_GROUP", 2 * SIZE)
    async with run_server() as server, AsyncExitStack() as stack:
        statuses = await open_unread(stack, server, 6, X_Group="agents of tern")
        assert (statuses[:2], statuses[-2:]) == ([200] * 2, [429] * 2)
        assert server.unsent.count("agents of tern") <= 2 * SIZE
        assert await open_unread(stack, server, 1, X_Group="agents of heron") == [200]


async def test_the_unsent_bytes_of_the_process_are_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unsent_bytes, "MAX_OF_PROCESS", 3 * SIZE)
    monkeypatch.setattr(unsent_bytes, "MIN_OF_CALLER", 100_000)
    async with run_server() as server, AsyncExitStack() as stack:
        statuses = await open_unread(stack, server, 10)
        assert (statuses[:3], statuses[-5:]) == ([200] * 3, [429] * 5)
        assert server.unsent.total <= 3 * SIZE
        monkeypatch.setattr(unsent_bytes, "MAX_OF_PROCESS", server.unsent.total)
        assert await open_unread(stack, server, 1, X_Caller="alice") == [429]
        for number in range(10):  # few callers cannot stop all others
            other = f"other-{number}"
            assert await open_unread(stack, server, 1, "/medium", X_Caller=other) == [200]


async def test_callers_without_credentials_are_limited_by_their_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unsent_bytes, "MAX_OF_CALLER", 2 * SIZE)
    async with run_server() as server, AsyncExitStack() as stack:
        statuses = await open_unread(stack, server, 6, X_Caller="")
        assert (statuses[:2], statuses[-2:]) == ([200] * 2, [429] * 2)
        assert server.unsent.count("network 127.0.0.1") == server.unsent.total
        assert await open_unread(stack, server, 1, X_Caller="alice") == [200]


class ScriptedTransport(asyncio.Transport):
    """A transport from which a client takes what the test says."""

    left = 1_000_000
    is_aborted = False

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.is_aborted = True


@pytest.mark.parametrize(
    ("taken", "is_aborted"),
    [
        ([0], False),
        ([0, 0], True),
        ([1_000] * 3, True),  # drops
        ([MIN_PROGRESS] * 20, False),
        ([MIN_PROGRESS // 2] * 20, False),  # twice in the time
        ([MIN_PROGRESS // 3] * 20, True),
        ([-50_000, MIN_PROGRESS, -50_000, MIN_PROGRESS, MIN_PROGRESS], False),  # others are written
        ([-50_000] * 3, True),
        ([1_000_000, 0, 0, 0], False),
    ],
)
async def test_a_client_must_take_a_minimum_in_each_period(
    taken: list[int], is_aborted: bool
) -> None:
    transport = ScriptedTransport()
    unsent = UnsentBytes()
    connection = unsent.open(transport)
    unsent.check_connections(0)
    for number, size in enumerate(taken, 1):
        transport.left -= size
        unsent.check_connections(number * STALL_TIMEOUT / 2)
    assert transport.is_aborted == is_aborted
    connection.close()


async def test_a_client_that_does_not_read_is_disconnected(run) -> None:
    async def test() -> None:
        async with run_server() as server:
            with server.connect().send("GET", "/", X_Caller="alice") as client:
                await server.wait_for_requests(1)
                server.unsent.check_connections(0)
                server.unsent.check_connections(STALL_TIMEOUT - 1)
                assert server.unsent.total > KEPT
                server.unsent.check_connections(STALL_TIMEOUT)
                await server.wait_until(lambda: not server.unsent.total)
                assert await client.read_until_closed() < SIZE

    await run(test)


async def test_a_client_that_reads_steadily_is_not_disconnected(run) -> None:
    """It takes 200 kB in 29 s, so that a megabyte takes some minutes."""

    async def test() -> None:
        async with run_server() as server:
            with server.connect() as client:
                client.send("GET", "/", X_Caller="alice", Connection="close")
                await server.wait_for_requests(1)
                seconds = 0.0
                while not client.received.endswith(BYTE * SIZE):
                    server.unsent.check_connections(seconds)
                    wanted = len(client.received) + 200_000
                    while len(client.received) < wanted and await client.read(50_000):
                        pass
                    seconds += STALL_TIMEOUT - 1
                assert seconds > 2 * STALL_TIMEOUT
                assert await client.read_until_closed() == 0

    await run(test)


async def test_a_client_that_reads_drop_by_drop_is_disconnected(run) -> None:
    async def test() -> None:
        async with run_server() as server:
            with server.connect().send("GET", "/huge", X_Caller="alice") as client:
                await server.wait_for_requests(1)
                for second in range(1_000):
                    server.unsent.check_connections(second)
                    if not server.unsent.total:
                        break
                    await client.read(50)
                    await asyncio.sleep(0)
                assert server.unsent.total == 0
                assert len(client.received) < 50 * 100

    await run(test)


@pytest.mark.parametrize("path", ["/stream", "/export"])
async def test_a_stream_whose_client_does_not_read_ends(path: str) -> None:
    async with run_server() as server:
        with server.connect().send("GET", path, X_Caller="alice") as client:
            await server.wait_until(lambda: server.unsent.total)
            assert server.unsent.count("user alice") < 3 * 65_536  # it is written in parts
            server.unsent.check_connections(0)
            server.unsent.check_connections(STALL_TIMEOUT)
            await server.wait_until(lambda: server.app.ended == ["generator", path])
            assert server.unsent.total == 0
            assert await client.read_status() == 200
            assert await client.read_until_closed() > 0


@pytest.mark.parametrize("ended_by", ["close", "keep-alive"])
async def test_the_rest_of_a_small_response_is_counted_and_given_up(ended_by: str) -> None:
    """The transport is not paused by it, also while it waits to be closed."""
    async with run_server() as server:
        with server.connect() as client:
            count = 0
            while not server.count_transports():  # what is on its way takes no memory of ours
                client.send("GET", "/medium", X_Caller="alice", Connection="keep-alive")
                count += 1
                await server.wait_for_requests(count)
            if ended_by == "close":
                [connection] = server.server.server_state.connections
                connection.transport.close()
            left = server.count_transports()
            assert left < 65_536
            server.unsent.check_connections(0)
            assert server.unsent.count("user alice") == left
            server.unsent.check_connections(STALL_TIMEOUT)
            await server.wait_until(lambda: not server.unsent.total)
            await client.read_until_closed()


async def test_the_next_request_waits_until_the_last_response_is_read(run) -> None:
    async def test() -> None:
        async with run_server() as server:
            with server.connect() as client:
                client.send("GET", "/first", X_Caller="alice")
                await server.wait_for_requests(1)
                for path in ("/second", "/third", "/fourth"):
                    client.send("GET", path, X_Caller="alice")
                await server.wait_until_postponed()
                assert server.app.requests == ["/first"]
                assert server.unsent.total < SIZE
                await read_bodies(client, 1)
                await server.wait_for_requests(2)
                assert server.app.requests == ["/first", "/second"]
                await read_bodies(client, 4)
                assert server.app.requests == ["/first", "/second", "/third", "/fourth"]

    await run(test)


async def test_a_request_that_waits_is_forgotten_with_its_connection() -> None:
    async with run_server() as server:
        with server.connect() as client:
            client.send("GET", "/first", X_Caller="alice")
            await server.wait_for_requests(1)
            client.send("GET", "/second", X_Caller="alice")
            await server.wait_until_postponed()
            server.unsent.check_connections(0)
            server.unsent.check_connections(STALL_TIMEOUT)
            await server.wait_until(lambda: not server.server.server_state.connections)
        assert server.app.requests == ["/first"]


async def test_head_requests_have_no_unsent_bytes() -> None:
    async with run_server() as server:
        with server.connect().send("HEAD", "/huge", X_Caller="alice") as client:
            assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert server.unsent.total == 0


async def test_the_system_keeps_little_of_what_is_not_read(run) -> None:
    """Else it would take up to 4 MB of each connection, and would not say that a client reads."""

    async def test() -> None:
        async with run_server() as server:
            with server.connect().send("GET", "/huge", X_Caller="alice"):
                await server.wait_for_requests(1)
                assert 20 * SIZE - server.unsent.total < 500_000

    await run(test)
