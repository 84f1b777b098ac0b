"""Run few requests of one credential at the same time, so that others find a free connection."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_RUNNING = 6  # requests of one credential; a process has ten database connections by default
STREAM_TYPE = b"text/event-stream"

FindCredentials = Callable[[HTTPConnection], Collection[str]]


class RequestTurnsMiddleware:
    """Lets the requests of a credential wait for each other above MAX_RUNNING.

    A request ends when its response is sent, so that responses which a client does not read are
    few. Event streams are not counted; they have a limit of their own. A request with several
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
        async with AsyncExitStack() as turns:
            # In a fixed order, so that two requests do not wait for each other.
            for credential in sorted({*self.find_credentials(HTTPConnection(scope))} - {""}):
                await turns.enter_async_context(self._take_turn(credential))

            async def send_and_end_turns(message: Message) -> None:
                if _starts_stream(message):
                    await turns.aclose()
                await send(message)

            await self.app(scope, receive, send_and_end_turns)

    @asynccontextmanager
    async def _take_turn(self, credential: str) -> AsyncGenerator[None, None]:
        turn = self._turns.setdefault(credential, asyncio.Semaphore(self.max_running))
        self._users[credential] += 1
        try:
            async with turn:
                yield
        finally:
            self._users[credential] -= 1
            if not self._users[credential]:
                del self._users[credential], self._turns[credential]


def _starts_stream(message: Message) -> bool:
    headers = message.get("headers", ()) if message["type"] == "http.response.start" else ()
    return any(
        name.lower() == b"content-type" and value.startswith(STREAM_TYPE) for name, value in headers
    )
