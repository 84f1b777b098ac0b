"""Run few requests of one credential at the same time, so that others find a free connection."""

import asyncio
from collections import Counter

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_RUNNING = 6  # requests of one credential; a process has ten database connections by default
CREDENTIAL_HEADERS = ("Authorization", "X-Agent-Token", "Cookie")
STREAM_TYPE = b"text/event-stream"


class RequestTurnsMiddleware:
    """Lets the requests of a credential wait for each other above MAX_RUNNING.

    A request ends when its response is sent, so that responses which a client does not read are
    few. Event streams are not counted; they have a limit of their own.
    """

    def __init__(self, app: ASGIApp, *, max_running: int = MAX_RUNNING) -> None:
        self.app = app
        self.max_running = max_running
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()  # requests that run or wait, by credential

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application when it is the turn of the request."""
        credential = _find_credential(scope)
        if not credential:
            await self.app(scope, receive, send)
            return
        turn = _Turn(self._turns.setdefault(credential, asyncio.Semaphore(self.max_running)), send)
        self._users[credential] += 1
        try:
            await turn.begin()
            await self.app(scope, receive, turn.send)
        finally:
            turn.end()
            self._users[credential] -= 1
            if not self._users[credential]:
                del self._users[credential], self._turns[credential]


class _Turn:
    """The turn of one request. It ends with the request, or when an event stream starts."""

    def __init__(self, turns: asyncio.Semaphore, send: Send) -> None:
        self._turns = turns
        self._send = send
        self._is_running = False

    async def begin(self) -> None:
        """Wait for the turn."""
        self._is_running = await self._turns.acquire()

    def end(self) -> None:
        """Let the next request run; only the first call has an effect."""
        if self._is_running:
            self._is_running = False
            self._turns.release()

    async def send(self, message: Message) -> None:
        """Send a part of the response."""
        if _starts_stream(message):
            self.end()
        await self._send(message)


def _find_credential(scope: Scope) -> str:
    if scope["type"] != "http":
        return ""
    headers = Headers(scope=scope)
    return next((value for name in CREDENTIAL_HEADERS if (value := headers.get(name))), "")


def _starts_stream(message: Message) -> bool:
    headers = message.get("headers", ()) if message["type"] == "http.response.start" else ()
    return any(
        name.lower() == b"content-type" and value.startswith(STREAM_TYPE) for name, value in headers
    )
