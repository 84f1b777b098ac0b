"""A proxy in front of a real gateway that adds a header to each request, with or without TLS.

Without its gateway it answers like nginx and Caddy, with 502. A proxy that closes the connection
without an answer exists only as a fake (tests/openclaw/test_proxies.py).
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
REMOTE_CLIENT = "X-Forwarded-For: 203.0.113.5"
"""The gateway trusts proxies on its own machine, and takes the client for a remote one."""


@asynccontextmanager
async def run_header_proxy(
    port: int, header: str, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[str]:
    """Run a proxy for the gateway at a port; yield its address."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", port)
        except asyncio.IncompleteReadError:
            writer.close()
            return
        except OSError:
            writer.write(BAD_GATEWAY)
            writer.close()
            return
        upstream.write(head[:-2] + header.encode() + b"\r\n\r\n")
        await asyncio.gather(copy_stream(reader, upstream), copy_stream(upstream_reader, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def copy_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send what arrives until the end, and close then."""
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
