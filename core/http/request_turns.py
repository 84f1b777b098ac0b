"""Run few requests of one credential at the same time, so that others find a free connection."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_RUNNING = 6  # requests of one credential; a process has ten database connections by default
STREAM_TYPE = b"text/event-stream"
SCOPE_KEY = "mission_control.turns"

FindCredentials = Callable[[HTTPConnection], Collection[str]]


class RequestTurnsMiddleware:
    """Lets the requests of a credential wait for each other above MAX_RUNNING.

    A request ends when its response is sent, so that responses which a client does not read are
    few. Event streams are not counted, because they have a limit of their own, and neither is the
    time in which a request waits for a gateway (`end_turns`). A request with several
    credentials takes a turn of each, so that an additional one is of no use.
    """

    def __init__(
        self, app: ASGIApp, find_credentials: FindCredentials, *, max_running: int = MAX_RUNNING
    ) -> None:
        self.app = app
        self.find_credentials = find_credentials
        self.max_running = max_running
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()  # requests that run or wait, by credential

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application when it is the turn of the request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        credentials = sorted({*self.find_credentials(HTTPConnection(scope))} - {""})
        turns = _Turns([self._turns.setdefault(one, self._create_turns()) for one in credentials])
        scope[SCOPE_KEY] = turns
        self._users.update(credentials)

        async def send_and_end_turns(message: Message) -> None:
            if _starts_stream(message):
                turns.end()
            await send(message)

        try:
            await turns.begin()
            await self.app(scope, receive, send_and_end_turns)
        finally:
            turns.end()
            self._users.subtract(credentials)
            for unused in [one for one in credentials if not self._users[one]]:
                del self._users[unused], self._turns[unused]

    def _create_turns(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self.max_running)


class _Turns:
    """The turns of one request, of which it takes one for each credential."""

    def __init__(self, semaphores: Sequence[asyncio.Semaphore]) -> None:
        self._semaphores = semaphores  # in a fixed order: two requests do not wait for each other
        self._held: list[asyncio.Semaphore] = []

    async def begin(self) -> None:
        """Wait for all turns."""
        for one in self._semaphores:
            await one.acquire()
            self._held.append(one)

    def end(self) -> None:
        """Let other requests run. Only the first call has an effect."""
        while self._held:
            self._held.pop().release()


def end_turns(connection: HTTPConnection) -> None:
    """Let other requests of the credential run, before a request waits for another server."""
    turns: _Turns | None = connection.scope.get(SCOPE_KEY)
    if turns is not None:
        turns.end()


def _starts_stream(message: Message) -> bool:
    headers = message.get("headers", ()) if message["type"] == "http.response.start" else ()
    return any(
        name.lower() == b"content-type" and value.startswith(STREAM_TYPE) for name, value in headers
    )
