"""Clients that cost little, so that the server is what is measured."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message

BROWSER_ENCODINGS = "gzip, deflate, br, zstd"


@dataclass(frozen=True)
class Reply:
    """The response to an ASGI call."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the content of a JSON response."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Call:
    """A request, with the credentials of a user, a session or an agent in its headers."""

    method: str
    path: str
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()


class Client:
    """Sends calls to an application."""

    def __init__(self, app: ASGIApp, state: dict[str, Any]) -> None:
        self._app, self._state = app, state

    async def send(self, call: Call) -> Reply:
        """Return the response to a call."""
        content = b"" if call.body is None else json.dumps(call.body).encode()
        sent: list[Message] = []
        received: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

        async def receive() -> Message:
            if not received:
                await asyncio.Future()  # the client stays connected
            return received.pop()

        async def collect(message: Message) -> None:
            sent.append(message)

        await self._app(self._build_scope(call), receive, collect)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Reply(sent[0]["status"], headers, body)

    async def send_checked(self, call: Call) -> Reply:
        """Return the response; raise AssertionError for an error status."""
        reply = await self.send(call)
        assert reply.status < 300, (call, reply.status, reply.body[:300])
        return reply

    def _build_scope(self, call: Call) -> dict[str, Any]:
        path, _, query = call.path.partition("?")
        base = (("host", "bench.test"), ("content-type", "application/json"))
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": call.method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), text.encode()) for name, text in (*base, *call.headers)],
            "client": ("127.0.0.1", 50_000),
            "server": ("bench.test", 80),
            "state": dict(self._state),
        }


Headers = Sequence[tuple[str, str]]
START_TIMEOUT = 60.0  # seconds
MAX_MESSAGE = 2**20  # bytes


class StreamMessage(NamedTuple):
    """A message of a stream."""

    name: str
    data: str


class StreamRefused(Exception):
    """The server has answered with another status than 200."""


class EventStream:
    """An open stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.received = 0  # bytes

    async def messages(self) -> AsyncIterator[StreamMessage]:
        """Yield messages until the stream ends; comments are left out."""
        while True:
            try:
                block = await self._reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            self.received += len(block)
            fields = dict(
                line.partition(": ")[::2] for line in block.decode().split("\r\n") if ": " in line
            )
            if "event" in fields or "data" in fields:
                yield StreamMessage(fields.get("event", ""), fields.get("data", ""))

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


async def open_stream(port: int, path: str, headers: Headers) -> EventStream:
    """Open a stream. Raises StreamRefused."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream"]
    lines += [f"{name}: {value}" for name, value in headers]
    async with asyncio.timeout(START_TIMEOUT):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=MAX_MESSAGE)
        writer.write("\r\n".join([*lines, "", ""]).encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise StreamRefused("no answer") from error
    status = head.split(b" ", 2)[1].decode()
    if status != "200":
        writer.close()
        raise StreamRefused(status)
    return EventStream(reader, writer)
