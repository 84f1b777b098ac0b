"""Ten thousand event streams through nginx, and the stop of their server."""

import asyncio
import re
import ssl
from pathlib import Path

from tests.deploy.conftest import sign_up_owner
from tests.support.installation import LOCAL_TOKEN, ApiClient
from tests.support.proxied_server import ProxiedServer, run_behind
from tests.support.tiers import scale

STREAMS, BATCH = 10_000, 50  # opened together
TIMEOUT = 120  # seconds


@scale
async def test_nginx_carries_ten_thousand_streams(tmp_path: Path) -> None:
    limits = {"RATE_LIMIT_STREAMS": str(STREAMS), "RATE_LIMIT_REQUESTS": str(2 * STREAMS)}
    with run_behind("nginx", tmp_path, settings=limits) as proxied:
        with proxied.open_client() as browser:
            sign_up_owner(browser, proxied.server.link)
        with ApiClient(proxied.server.url, LOCAL_TOKEN) as api:
            board = api.create_board()["id"]
            path = f"/api/v1/boards/{board}/tasks/stream"
            streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
            tls = ssl.create_default_context(cafile=str(proxied.ca_file))
            before = measure_memory(proxied.proxy.pid)
            for _ in range(STREAMS // BATCH):
                streams += await asyncio.gather(
                    *[open_stream(proxied, path, tls) for _ in range(BATCH)]
                )
            kilobytes = (measure_memory(proxied.proxy.pid) - before) / STREAMS
            print(f"nginx needs {kilobytes:.1f} kB for each stream with TLS.")
            await asyncio.to_thread(api.call, "POST", f"/boards/{board}/tasks", title="Sail")
            async with asyncio.timeout(TIMEOUT):
                await asyncio.gather(*[reader.readuntil(b"Sail") for reader, _ in streams])
        proxied.server.stop()  # while the streams are open, and nobody reads them
        for _, writer in streams:
            writer.transport.abort()


async def open_stream(
    proxied: ProxiedServer, path: str, tls: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open an event stream with HTTP/1.1. Like all clients, open it again if the server is busy."""
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {LOCAL_TOKEN}\r\n\r\n"
    while True:
        reader, writer = await asyncio.open_connection("localhost", proxied.port, ssl=tls)
        writer.write(head.encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if answer.startswith(b"HTTP/1.1 200"):
            return reader, writer
        assert answer.startswith(b"HTTP/1.1 503"), answer
        writer.transport.abort()


def measure_memory(pid: int) -> int:
    """Return the resident memory of the children of a process, in kilobytes."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = [Path(f"/proc/{child}/status").read_text() for child in children]
    return sum(int(re.findall(r"^VmRSS:\s+(\d+)", one, re.MULTILINE)[0]) for one in status)
