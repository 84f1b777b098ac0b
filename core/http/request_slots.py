"""Run few requests of one caller at the same time, so that others find a free connection."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import TooMany
from core.http.caller import Caller
from core.http.event_stream import STREAM_PATHS, is_event_stream
from core.http.unsent_bytes import SCOPE_KEY as UNSENT_BYTES
from core.metrics import REJECTIONS
from core.security.secrets import hash_token
from core.text import N_

MAX_RUNNING = 6  # requests of a caller; a process has ten database connections by default
MAX_WAITING_OF_PROCESS = 5_000
MAX_CALLERS = 20_000  # credentials whose caller is remembered
RETRY_AFTER = 5  # seconds
SCOPE_KEY = "mission_control.request_slots"

READING_METHODS = {"GET", "HEAD"}

FindCredentials = Callable[[HTTPConnection], Collection[str]]


class RequestSlotsMiddleware:
    """Lets the requests of a caller wait for each other above MAX_RUNNING.

    A request needs a slot of each of its credentials and of their caller, which is known as soon as
    a request with the credential was authenticated; until then its requests run one by one. All
    tokens of a user share slots, which are not those of the user's pages: so a user has no more
    slots with more tokens, one token leaves some to the others, and no token stops a page. Reads
    need a slot of the process as well. Writes do not: they may wait for their body, and would stop
    all others.

    Event streams take a slot only until they are open, because they have a limit of their own. The
    time in which a request waits for a gateway does not count either (`release_slots`).
    """

    def __init__(
        self,
        app: ASGIApp,
        find_credentials: FindCredentials,
        *,
        max_running: int = MAX_RUNNING,
        max_running_of_tokens: int = 9,  # requests of all tokens of a user
        max_running_of_group: int = 12,  # reads of all agents of an organization
        max_running_of_process: int = 24,  # reads of all callers
        max_waiting: int = 100,  # requests of a caller that wait for a slot
    ) -> None:
        self.app = app
        self.find_credentials = find_credentials
        self.max_running = max_running
        self.max_running_of_tokens = max_running_of_tokens
        self.max_running_of_group = max_running_of_group
        self.max_running_of_process = max_running_of_process
        self.max_waiting = max_waiting
        self.slots: dict[str, _Slots] = {}  # that requests have or wait for
        self.callers: dict[str, Caller] = {}  # by the hash of the credential

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application when slots are free. Raises TooMany if too many requests wait."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        credentials = {*self.find_credentials(HTTPConnection(scope))} - {""}
        held = scope[SCOPE_KEY] = _HeldSlots(self, scope, sorted(map(hash_token, credentials)))

        async def send_and_release_slots(message: Message) -> None:
            if message["type"] == "http.response.start":
                if is_event_stream(message):
                    held.release()
                held.release_shared()
            await send(message)

        try:
            await held.acquire()
            await self.app(scope, receive, send_and_release_slots)
        finally:
            held.release()

    def remember(self, credential: str, caller: Caller) -> None:
        """Remember to whom a credential belongs."""
        if self.callers.get(credential) != caller:
            self.callers[credential] = caller
            if len(self.callers) > MAX_CALLERS:
                del self.callers[next(iter(self.callers))]


class _Slots:
    """The slots of one key."""

    def __init__(self, count: int) -> None:
        self.free = asyncio.Semaphore(count)
        self.waiting: Counter[bool] = Counter()  # requests, by whether they open a stream
        self.users = 0  # requests that have a slot or wait for one


class _HeldSlots:
    """The slots of one request.

    They are taken in a fixed order, so that no two requests wait for each other: those of the
    credentials, then of their callers, and last those that requests of all callers share.
    """

    def __init__(
        self, middleware: RequestSlotsMiddleware, scope: Scope, credentials: list[str]
    ) -> None:
        self._middleware = middleware
        self._credentials = credentials
        self._callers: list[Caller] = []
        self._is_stream = scope["path"].endswith(STREAM_PATHS)
        self._is_read = scope["method"] in READING_METHODS
        self._held: dict[str, _Slots] = {}

    async def acquire(self) -> None:
        """Wait for all slots. Raises TooMany.

        Their list is made again after each, because the caller may have become known meanwhile.
        """
        while missing := self._release_others():
            await self._take(*missing)

    def release(self) -> None:
        """Let other requests run. Only the first call has an effect."""
        for key in list(self._held):
            self._release(key)

    def release_shared(self) -> None:
        """Let requests of other callers run: the work is done, and the client may be slow."""
        own = {*self._list_credential_keys(), *map(_caller_key, self._callers)}
        for key in self._held.keys() - own:
            self._release(key)

    def recognize(self, credential: str, caller: Caller | None) -> None:
        """Record that a credential was accepted, or rejected without a caller."""
        credential = hash_token(credential)
        if caller is None:
            self._middleware.callers.pop(credential, None)
        elif credential in self._credentials:
            self._middleware.remember(credential, caller)
            for one in self._credentials:
                self._release(_new(one))

    def _list_credential_keys(self) -> list[str]:
        return [f"credential {one}" for one in self._credentials]

    def _list_limits(self) -> Iterator[tuple[str, int, int]]:
        """Yield the keys of all slots that the request needs, with how many run and wait."""
        known = self._middleware
        own = 2_000 if self._is_stream else known.max_waiting  # all pages reconnect after a restart
        for key in self._list_credential_keys():
            yield key, known.max_running, own
        for one in self._credentials if not self._callers else ():
            yield _new(one), 1, own
        for caller in self._callers:
            count = known.max_running
            if caller.is_user_with_token:
                count = known.max_running_of_tokens
            yield _caller_key(caller), count, own
        if self._is_stream:
            yield "streams that are being opened", known.max_running, MAX_WAITING_OF_PROCESS
        elif self._is_read and self._callers:
            for group in sorted({one.group for one in self._callers} - {""}):
                yield group, known.max_running_of_group, MAX_WAITING_OF_PROCESS
            yield "reads", known.max_running_of_process, MAX_WAITING_OF_PROCESS

    def _release_others(self) -> tuple[str, int, int] | None:
        """Release slots that are no longer needed, and return the limits of the next to take."""
        if not self._callers:
            known = self._middleware.callers
            found = {known[one] for one in self._credentials if one in known}
            self._callers = sorted(found, key=_caller_key)
        limits = list(self._list_limits())
        for key in self._held.keys() - {key for key, _, _ in limits}:
            self._release(key)
        return next((one for one in limits if one[0] not in self._held), None)

    async def _take(self, key: str, max_running: int, max_waiting: int) -> None:
        slots = self._middleware.slots.setdefault(key, _Slots(max_running))
        if slots.free.locked() and slots.waiting[self._is_stream] >= max_waiting:
            REJECTIONS.labels("waiting_requests").inc()
            raise TooMany(RETRY_AFTER, N_("Too many requests wait for earlier ones."))
        slots.users += 1
        slots.waiting[self._is_stream] += 1
        try:
            await slots.free.acquire()
        except BaseException:
            self._leave(key, slots)
            raise
        finally:
            slots.waiting[self._is_stream] -= 1
        self._held[key] = slots

    def _release(self, key: str) -> None:
        slots = self._held.pop(key, None)
        if slots is not None:
            slots.free.release()
            self._leave(key, slots)

    def _leave(self, key: str, slots: _Slots) -> None:
        slots.users -= 1
        if not slots.users:
            del self._middleware.slots[key]


def _caller_key(caller: Caller) -> str:
    return f"tokens of {caller.key}" if caller.is_user_with_token else caller.key


def _new(credential: str) -> str:
    """Return the key of a credential whose caller is not known."""
    return f"new {credential}"


def release_slots(connection: HTTPConnection) -> None:
    """Let other requests of the caller run, before a request waits for another server."""
    held: _HeldSlots | None = connection.scope.get(SCOPE_KEY)
    if held is not None:
        held.release()


def recognize_caller(connection: HTTPConnection, credential: str, caller: Caller | None) -> None:
    """Count a request and its response for its caller; None if the credential was rejected.

    Raises TooMany if the caller has too many unsent bytes.
    """
    held: _HeldSlots | None = connection.scope.get(SCOPE_KEY)
    if held is not None:
        held.recognize(credential, caller)
    unsent = connection.scope.get(UNSENT_BYTES)
    if unsent is not None and caller is not None:
        unsent.assign(caller)
        unsent.check_limits()
