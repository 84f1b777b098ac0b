"""A host elsewhere, for what the product fetches: a real HTTP server on this machine."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Page:
    """What a host answers at a path. Without a length the body ends with the connection."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Host:
    """Answers with its pages, and remembers what it was asked for."""

    address: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    is_silent: bool = False  # takes requests and never answers
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)  # waits for this, if it waits
    waits: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            self.asked.append(path)
            self.agents |= {line[12:] for line in head.splitlines() if line[:11] == "User-Agent:"}
            if self.waits:
                await self.may_answer.wait()
            if self.is_silent:
                await reader.read()
                return
            page = self.pages.get(path, Page(status=404))
            headers = {"Connection": "close", **page.headers}
            told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"HTTP/1.1 {page.status} As it is\r\n{told}\r\n".encode() + page.body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked has had enough
        finally:
            writer.close()


@asynccontextmanager
async def a_host() -> AsyncGenerator[Host]:
    """Open a host on a free port, and close it at the end with all that it is doing."""
    host = Host()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    host.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield host
    host.may_answer.set()
    server.close()
    await server.wait_closed()
