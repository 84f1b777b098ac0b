"""A client of event streams that costs little, so that the server is what is measured."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

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
