"""Following a stream of the API, as a client does that reads it while it comes."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message

from models import Agent, User
from tests.world import token_of

PATIENCE = 5.0  # seconds until something is to be heard
QUIET = 0.3  # seconds in which nothing is to be heard


@dataclass(frozen=True)
class Heard:
    """One message of a stream."""

    name: str
    id: int
    data: Any


class Listener:
    """Whoever listens to one stream."""

    def __init__(self, app: ASGIApp, who: User | Agent, path: str, **headers: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.raw = b""
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._rest = b""
        self._away = asyncio.Event()
        self._started = asyncio.Event()
        address = urlsplit(path)
        sent = {"Authorization": f"Bearer {token_of(who)}", **headers}
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

    async def started(self) -> None:
        """Wait until the answer has begun."""
        await asyncio.wait_for(self._started.wait(), PATIENCE)

    async def next(self, patience: float = PATIENCE) -> Heard:
        """Return the next message that is no comment."""
        while True:
            part = await asyncio.wait_for(self._part(), patience)
            assert part is not None, "the stream has ended"
            fields = dict(line.split(": ", 1) for line in part.decode().split("\r\n") if line)
            if "event" in fields:
                return Heard(fields["event"], int(fields["id"]), json.loads(fields["data"]))

    async def hears_nothing(self) -> bool:
        """Say whether it stays quiet for a moment."""
        try:
            await self.next(QUIET)
        except TimeoutError:
            return True
        return False

    async def ended(self, patience: float = PATIENCE) -> None:
        """Wait until the server ends the stream."""
        await asyncio.wait_for(asyncio.shield(self._task), patience)

    async def leave(self) -> None:
        """Go away, as a client does that closes its connection."""
        self._away.set()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(self._task, PATIENCE)

    async def _part(self) -> bytes | None:
        while b"\r\n\r\n" not in self._rest:
            more = await self._parts.get()
            if more is None:
                return None
            self._rest += more
        part, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return part

    async def _receive(self) -> Message:
        await self._away.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            self._started.set()
        else:
            self.raw += message.get("body", b"")
            self._parts.put_nowait(message.get("body", b""))
            if not message.get("more_body"):
                self._parts.put_nowait(None)


@asynccontextmanager
async def listening(
    app: ASGIApp, who: User | Agent, path: str, **headers: str
) -> AsyncGenerator[Listener, None]:
    """Follow a stream for as long as the block runs."""
    listener = Listener(app, who, f"/api/v1{path}", **headers)
    await listener.started()
    yield listener
    await listener.leave()
