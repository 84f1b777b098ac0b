"""A client that reads a stream of the API while it is sent."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator
from starlette.types import ASGIApp, Message

from models import Agent, User
from tests.support.api_document import DOCUMENT
from tests.support.people_rows import token_secret

MESSAGE_TIMEOUT = 5.0  # seconds
SILENCE_PERIOD = 0.3  # seconds


@dataclass(frozen=True)
class StreamMessage:
    """One message of a stream."""

    name: str
    id: int  # 0 without one
    data: Any


def check_event(path: str, event: Any) -> None:
    """Fail unless an event of a stream is as the OpenAPI document describes it."""
    for documented, methods in DOCUMENT["paths"].items():
        pattern = re.sub(r"{\w+}", "[^/]+", documented.removeprefix("/api/v1"))
        if documented.endswith("/stream") and re.fullmatch(f"/api/v1{pattern}", path):
            content = methods["get"]["responses"]["200"]["content"]
            schema = content["text/event-stream"]["schema"]["contentSchema"]
            components = {"components": DOCUMENT["components"]}
            Draft202012Validator({**schema, **components}).validate(event)


class StreamClient:
    """A client of one stream."""

    def __init__(self, app: ASGIApp, actor: User | Agent, path: str, **headers: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.raw = b""
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._buffer = b""
        self._disconnected = asyncio.Event()
        self._started = asyncio.Event()
        address = urlsplit(path)
        self._path = address.path
        sent = {"Authorization": f"Bearer {token_secret(actor)}", **headers}
        scope = {
            "type": "http",
            "method": "GET",
            "path": address.path,
            "raw_path": address.path.encode(),
            "query_string": address.query.encode(),
            "root_path": "",
            "scheme": "http",
            "server": ("mission.test", 80),
            "client": ("127.0.0.1", 1),
            "headers": [(k.lower().encode(), v.encode()) for k, v in sent.items()],
            "http_version": "1.1",
        }
        self._task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def wait_for_start(self) -> None:
        """Wait for the start of the response."""
        await asyncio.wait_for(self._started.wait(), MESSAGE_TIMEOUT)

    async def next_message(self, seconds: float = MESSAGE_TIMEOUT) -> StreamMessage:
        """Return the next message, without comments."""
        while True:
            part = await asyncio.wait_for(self.next_block(), seconds)
            assert part is not None, "the stream has ended"
            fields = dict(line.split(": ", 1) for line in part.decode().split("\r\n") if line)
            if "event" in fields:
                data = json.loads(fields["data"])
                check_event(self._path, {"event": fields["event"], "data": data})
                return StreamMessage(fields["event"], int(fields.get("id", 0)), data)

    async def is_silent(self) -> bool:
        """Return whether no message arrives for a moment."""
        try:
            await self.next_message(SILENCE_PERIOD)
        except TimeoutError:
            return True
        return False

    async def wait_for_end(self, seconds: float = MESSAGE_TIMEOUT) -> None:
        """Wait until the server ends the stream."""
        await asyncio.wait_for(asyncio.shield(self._task), seconds)

    async def disconnect(self) -> None:
        """Close the connection as a client."""
        self._disconnected.set()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(self._task, MESSAGE_TIMEOUT)

    async def next_block(self) -> bytes | None:
        """Return what is before the next blank line, or None at the end."""
        while b"\r\n\r\n" not in self._buffer:
            more = await self._chunks.get()
            if more is None:
                return None
            self._buffer += more
        part, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return part

    async def _receive(self) -> Message:
        await self._disconnected.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            self._started.set()
        else:
            self.raw += message.get("body", b"")
            self._chunks.put_nowait(message.get("body", b""))
            if not message.get("more_body"):
                self._chunks.put_nowait(None)


@asynccontextmanager
async def open_stream(
    app: ASGIApp, actor: User | Agent, path: str, **headers: str
) -> AsyncGenerator[StreamClient, None]:
    """Read a stream for the duration of the block."""
    client = StreamClient(app, actor, f"/api/v1{path}", **headers)
    await client.wait_for_start()
    yield client
    await client.disconnect()


async def read_titles(stream: StreamClient, count: int) -> list[str]:
    """Return the titles of the next tasks of a stream."""
    return [(await stream.next_message()).data["task"]["title"] for _ in range(count)]
