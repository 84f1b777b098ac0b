"""A real HTTP server on this machine, for content that the product fetches."""

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

TLS_HANDSHAKE = b"\x16"  # the first byte of a client that expects TLS


@dataclass(frozen=True)
class HostPage:
    """The response for a path. Without a Content-Length the body ends with the connection."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class HttpHost:
    """Serves pages, and records the requests."""

    address: str = ""
    pages: dict[str, HostPage] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    user_agents: set[str] = field(default_factory=set)
    received: list[tuple[str, bytes]] = field(default_factory=list)  # for its pages: head, body
    is_silent: bool = False  # accepts requests and never responds
    stays_open: bool = False  # does not end its responses
    answers_tls: bool = True  # with an error, if the host has no TLS
    unblocked: asyncio.Event = field(default_factory=asyncio.Event)  # ends the block
    is_blocked: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request."""
        try:
            first = await reader.readexactly(1)
            if first == TLS_HANDSHAKE and self.answers_tls:
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            head = (first + await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            self.requests.append(path)
            self.user_agents |= {
                line[12:] for line in head.splitlines() if line[:11] == "User-Agent:"
            }
            length = re.search(r"(?im)^content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            if path in self.pages:  # not a request to the test that had this port before
                self.received.append((head, body))
            if self.is_blocked:
                await self.unblocked.wait()
            if self.is_silent:
                await reader.read()
                return
            page = self.pages.get(path, HostPage(status=404))
            headers = {"Connection": "close", **page.headers}
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"HTTP/1.1 {page.status} As it is\r\n{lines}\r\n".encode() + page.body)
            await writer.drain()
            if self.stays_open:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has disconnected
        finally:
            writer.close()


@asynccontextmanager
async def run_http_host(tls: ssl.SSLContext | None = None) -> AsyncGenerator[HttpHost]:
    """Run a host on a free port, and close it at the end with its open requests."""
    host = HttpHost()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    host.address = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield host
    host.unblocked.set()
    server.close()
    await server.wait_closed()
