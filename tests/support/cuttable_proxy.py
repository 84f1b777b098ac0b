"""A proxy for the database connection of one process, which a test can cut."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from sqlalchemy.engine import URL, make_url

from core.config.settings import Settings


class CuttableProxy:
    """Listens on a port and forwards the traffic to PostgreSQL and back."""

    def __init__(self, settings: Settings) -> None:
        self._target = make_url(settings.database_url)
        self._settings = settings
        self._port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def settings(self) -> Settings:
        """The settings of a process that uses this proxy."""
        url = self._target.set(host="127.0.0.1", port=self._port, query={})
        return self._settings.with_database(url.render_as_string(hide_password=False))

    async def move(self, settings: Settings) -> None:
        """Close all connections, and lead new ones to another server."""
        self.cut()
        self._target = make_url(settings.database_url)
        await self.restore()

    async def restore(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Close all connections, and accept no new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply_reader, database_writer = await _connect(self._target)
        writers = {writer, database_writer}
        self._open |= writers
        if self._server is None:
            self.cut()  # it was cut while this connection was opened
        await asyncio.gather(_forward(reader, database_writer), _forward(reply_reader, writer))
        self._open -= writers


@asynccontextmanager
async def run_cuttable_proxy(settings: Settings) -> AsyncGenerator[CuttableProxy]:
    proxy = CuttableProxy(settings)
    await proxy.restore()
    try:
        yield proxy
    finally:
        proxy.cut()


async def _connect(target: URL) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host = str(target.query.get("host") or target.host)
    port = int(str(target.query.get("port") or target.port or 5432))
    if host.startswith("/"):
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
