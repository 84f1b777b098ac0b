"""A line to the database that can be cut, while others keep theirs."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from sqlalchemy.engine import URL, make_url

from kit.settings import Settings


class Line:
    """Listens on a port of its own and passes on to PostgreSQL what it hears, and back."""

    def __init__(self, settings: Settings) -> None:
        self._goal = make_url(settings.database_url)
        self._settings = settings
        self._port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def settings(self) -> Settings:
        """The settings of somebody who calls through this line."""
        here = self._goal.set(host="127.0.0.1", port=self._port, query={})
        return self._settings.with_database(here.render_as_string(hide_password=False))

    async def mend(self) -> None:
        """Let calls through."""
        self._server = await asyncio.start_server(self._call, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """End all calls, and let no new ones through."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await _reach(self._goal)
        ends = {writer, back}
        self._open |= ends
        if self._server is None:
            self.cut()  # it was cut while somebody called
        await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        self._open -= ends


@asynccontextmanager
async def a_line(settings: Settings) -> AsyncGenerator[Line]:
    line = Line(settings)
    await line.mend()
    try:
        yield line
    finally:
        line.cut()


async def _reach(goal: URL) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host = str(goal.query.get("host") or goal.host)
    port = int(str(goal.query.get("port") or goal.port or 5432))
    if host.startswith("/"):
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
