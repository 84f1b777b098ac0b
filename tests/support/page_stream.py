"""A real server, and the event streams of pages that are open on it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
import uvicorn

import app
from core.config.settings import Settings
from models import User
from tests.support.people_rows import cookie_secret
from web.auth.viewer import SESSION_COOKIE

TIMEOUT = 10  # maximum seconds to wait for an expected update


@pytest.fixture(name="url")
async def server_url(isolated_settings: Settings) -> AsyncIterator[str]:
    config = uvicorn.Config(
        app.build_app(isolated_settings), port=0, log_config=None, lifespan="on"
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    [port] = [socket.getsockname()[1] for socket in server.servers[0].sockets]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await running


class PageStream:
    """An open page: the received update names and the number of the last event."""

    def __init__(self) -> None:
        self.names: asyncio.Queue[str] = asyncio.Queue()
        self.data: dict[str, str] = {}  # by name
        self.last = ""
        self.ended = asyncio.Event()

    async def read(self, response: httpx2.Response) -> None:
        try:
            name = ""
            async for line in response.aiter_lines():
                field, _, value = line.partition(": ")
                if field == "data":
                    self.data[name] = value
                if field == "id":
                    self.last = value
                if field == "event":
                    name = value
                    self.names.put_nowait(value)
        finally:
            self.ended.set()

    async def wait_for(self, name: str) -> None:
        async with asyncio.timeout(TIMEOUT):
            while await self.names.get() != name:
                pass


@asynccontextmanager
async def open_page(
    url: str, user: User, query: str = "", **headers: str
) -> AsyncGenerator[PageStream, None]:
    page_stream = PageStream()
    cookies = {SESSION_COOKIE: cookie_secret(user)}
    async with (
        httpx2.AsyncClient(base_url=url, cookies=cookies, headers=headers, timeout=30) as client,
        client.stream("GET", f"/events{query}") as response,
    ):
        assert response.status_code == 200
        reading = asyncio.create_task(page_stream.read(response))
        await page_stream.wait_for("hello")
        yield page_stream
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
