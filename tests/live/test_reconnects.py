"""Pages that all reconnect after a restart."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn

import app
from core.config.settings import Settings
from core.http.request import RETRY_DELAYS
from core.http.server_protocol import LimitedHttpProtocol
from tests.support.people_rows import cookie_secret
from tests.support.tiers import IS_COMPLETE_RUN
from tests.support.world import World
from web.auth.viewer import SESSION_COOKIE

PAGES = 1_000 if IS_COMPLETE_RUN else 100
TIMEOUT = 120  # maximum seconds to wait for all pages

Page = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def run_server(settings: Settings) -> AsyncGenerator[int]:
    """Run a server, and yield its port."""
    config = uvicorn.Config(
        app.build_app(settings), port=0, log_config=None, http=LimitedHttpProtocol, backlog=2048
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    [port] = [socket.getsockname()[1] for socket in server.servers[0].sockets]
    yield port
    server.force_exit = server.should_exit = True
    await running


async def open_page(port: int, cookie: str) -> tuple[str, str, Page]:
    """Open the event stream of a page; return its status, its beginning, and the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"GET /events HTTP/1.1\r\nHost: mission.test\r\nCookie: {SESSION_COOKIE}={cookie}\r\n\r\n"
    )
    writer.write(head.encode())
    text = (await reader.readuntil(b"\r\n\r\n")).decode()
    status = text.split()[1]
    if status == "200":
        text += (await reader.readuntil(b"\r\n\r\n")).decode()
    return status, text, (reader, writer)


async def test_many_pages_reconnect_after_a_restart(
    isolated_settings: Settings, isolated_world: World
) -> None:
    cookie = cookie_secret(isolated_world.alice)
    async with run_server(isolated_settings) as port, asyncio.timeout(TIMEOUT):
        opened = await asyncio.gather(*(open_page(port, cookie) for _ in range(PAGES)))
        assert {status for status, _, _ in opened} == {"200"}
        delays = {text.partition("retry: ")[2].split()[0] for _, text, _ in opened}
        assert len(delays) > PAGES / 10
        assert all(RETRY_DELAYS[0] <= int(delay) <= RETRY_DELAYS[1] for delay in delays)
        for _, _, (_, writer) in opened:
            writer.transport.abort()
