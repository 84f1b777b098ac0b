"""Send requests to an ASGI application in this process, without a network."""

import json
from dataclasses import dataclass
from typing import Any

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

        async def receive() -> Message:
            return {"type": "http.request", "body": content, "more_body": False}

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
