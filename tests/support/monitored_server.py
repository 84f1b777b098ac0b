"""The server in a thread of this process, with all that holds its event loop."""

import asyncio
import http.client
import socket
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from sse_starlette.sse import AppStatus

import app
from cli.server_process import run_uvicorn
from core.config.settings import Settings
from core.event_loop import LoopHold, LoopMonitor, MonitoredEventLoop

TIMEOUT = 60  # seconds
MIN_HOLD = 0.005  # seconds; shorter ones are not listed
STREAM_SECONDS = 0.1  # how long a stream is read

Header = tuple[str, str]


@dataclass
class MonitoredServer:
    """A running server, and the longest holds of its loop by place."""

    port: int = 0
    holds: dict[str, LoopHold] = field(default_factory=dict)

    def record(self, hold: LoopHold) -> None:
        """Keep a hold if it is the longest of its place."""
        known = self.holds.get(hold.place)
        if known is None or known.seconds < hold.seconds:
            self.holds[hold.place] = hold

    def send(
        self, method: str, address: str, headers: Iterable[Header] = (), body: bytes = b""
    ) -> int:
        """Send a request, read the whole response, and return its status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        connection.putrequest(method, address, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body or method not in ("GET", "DELETE"):
            connection.putheader("Content-Length", str(len(body)))
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders(body or None)
        try:
            response = connection.getresponse()
            if (response.getheader("Content-Type") or "").startswith("text/event-stream"):
                assert connection.sock is not None
                connection.sock.settimeout(STREAM_SECONDS)
                with suppress(TimeoutError):
                    while response.read1():
                        pass
            else:
                response.read()
            return response.status
        finally:
            connection.close()


@contextmanager
def run_monitored_server(settings: Settings) -> Generator[MonitoredServer]:
    """Run the application as `./run` does, without the worker."""
    app.compile_in_advance(threading.Event())  # as the server does after its start
    server, started = MonitoredServer(), threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        async def note_start() -> None:
            started.set()

        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
            server.port = listening.getsockname()[1]
            await run_uvicorn(app.build_app(settings), listening, stop, note_start)

    def run() -> None:
        monitor = LoopMonitor(server.record, limit=MIN_HOLD, precision=0.0)
        with asyncio.Runner(loop_factory=lambda: MonitoredEventLoop(monitor)) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="monitored server")
    thread.start()
    try:
        assert started.wait(TIMEOUT)
        server.holds.clear()
        yield server
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(TIMEOUT)
        AppStatus.should_exit = False  # it is set for all servers of this process, also later ones
