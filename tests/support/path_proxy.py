"""A proxy of a host that has Mission Control below a path, and nothing else."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.header_proxy import copy_stream
from tests.support.postgres_servers import find_loopback_address

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
CONNECTION = re.compile(rb"\r\nconnection:[^\r]*", re.IGNORECASE)


@dataclass
class PathProxy:
    """A proxy that is running; what was requested outside of the path is in `outside`."""

    path: str
    target: int  # port
    removes_path: bool
    url: str = ""
    outside: list[str] = field(default_factory=list)

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one request of a connection, and close it then."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        method, address, rest = head.split(b" ", 2)
        if not re.match(rf"{self.path}([/?]|$)", address.decode()):
            self.outside.append(address.decode())
            writer.write(NOT_FOUND)
            writer.close()
            return
        if self.removes_path:
            address = address.removeprefix(self.path.encode()) or b"/"
        rest = CONNECTION.sub(b"", rest).removesuffix(b"\r\n") + b"Connection: close\r\n\r\n"
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target)
        upstream.write(b" ".join((method, address, rest)))
        await asyncio.gather(copy_stream(reader, upstream), copy_stream(upstream_reader, writer))


@asynccontextmanager
async def run_path_proxy(
    path: str, target: int, *, removes_path: bool
) -> AsyncGenerator[PathProxy]:
    """Run a proxy for the server at a port.

    It has an address of its own: clients of a server that has ended can still ask at its port.
    """
    proxy = PathProxy(path, target, removes_path)
    host = find_loopback_address()
    server = await asyncio.start_server(proxy.forward, host, 0)
    proxy.url = f"http://{host}:{server.sockets[0].getsockname()[1]}{path}"
    try:
        yield proxy
    finally:
        server.close()
