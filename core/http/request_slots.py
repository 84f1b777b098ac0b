"""Run few requests of one credential at the same time, so that others find a free connection."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_RUNNING = 6  # requests of one credential; a process has ten database connections by default
STREAM_TYPE = b"text/event-stream"
SCOPE_KEY = "mission_control.request_slots"

FindCredentials = Callable[[HTTPConnection], Collection[str]]


class RequestSlotsMiddleware:
    """Lets the requests of a credential wait for each other above MAX_RUNNING.

    A request ends when its response is sent, so that responses which a client does not read are
    few. Event streams are not counted, because they have a limit of their own, and neither is the
    time in which a request waits for a gateway (`release_slots`). A request with several
    credentials takes a slot of each, so that an additional one is of no use.
    """

    def __init__(
        self, app: ASGIApp, find_credentials: FindCredentials, *, max_running: int = MAX_RUNNING
    ) -> None:
        self.app = app
        self.find_credentials = find_credentials
        self.max_running = max_running
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()  # requests that run or wait, by credential

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application when a slot is free."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        credentials = sorted({*self.find_credentials(HTTPConnection(scope))} - {""})
        slots = _Slots(
            [self._slots.setdefault(one, self._create_semaphore()) for one in credentials]
        )
        scope[SCOPE_KEY] = slots
        self._users.update(credentials)

        async def send_and_release_slots(message: Message) -> None:
            if _starts_stream(message):
                slots.release()
            await send(message)

        try:
            await slots.acquire()
            await self.app(scope, receive, send_and_release_slots)
        finally:
            slots.release()
            self._users.subtract(credentials)
            for unused in [one for one in credentials if not self._users[one]]:
                del self._users[unused], self._slots[unused]

    def _create_semaphore(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self.max_running)


class _Slots:
    """The slots of one request, one for each credential."""

    def __init__(self, semaphores: Sequence[asyncio.Semaphore]) -> None:
        self._semaphores = semaphores  # in a fixed order: two requests do not wait for each other
        self._held: list[asyncio.Semaphore] = []

    async def acquire(self) -> None:
        """Wait for all slots."""
        for one in self._semaphores:
            await one.acquire()
            self._held.append(one)

    def release(self) -> None:
        """Let other requests run. Only the first call has an effect."""
        while self._held:
            self._held.pop().release()


def release_slots(connection: HTTPConnection) -> None:
    """Let other requests of the credential run, before a request waits for another server."""
    slots: _Slots | None = connection.scope.get(SCOPE_KEY)
    if slots is not None:
        slots.release()


def _starts_stream(message: Message) -> bool:
    headers = message.get("headers", ()) if message["type"] == "http.response.start" else ()
    return any(
        name.lower() == b"content-type" and value.startswith(STREAM_TYPE) for name, value in headers
    )
