"""Read requests and write responses in ways shared by pages and API."""

import logging
import random
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing

from sqlalchemy.ext.asyncio import AsyncSession
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import HTTPConnection, Request
from starlette.types import Receive, Scope, Send

from core.config.settings import Settings
from core.db.engine import is_outage
from core.errors import (
    AppError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    RecentSignInRequired,
    RequestTimeout,
    TooLarge,
    TooMany,
    Unauthorized,
    Unavailable,
    UpstreamError,
)
from core.http.client_ip import get_client_ip, rate_limit_network
from core.http.concurrency import ConcurrencyLimiter

STATUS_CODES: dict[type[AppError], int] = {
    Unauthorized: 401,
    Forbidden: 403,
    RecentSignInRequired: 403,
    NotFound: 404,
    RequestTimeout: 408,
    Conflict: 409,
    PreconditionFailed: 412,
    TooLarge: 413,
    Invalid: 422,
    TooMany: 429,
    UpstreamError: 502,
    Unavailable: 503,
}

Session = AsyncSession
"""An open transaction. Pages and API pass it to services and run no queries themselves."""

log = logging.getLogger(__name__)

PING_INTERVAL = 15  # seconds between keep-alive comments of a stream (contract 1.8)
SEND_TIMEOUT = 30  # seconds until a client that does not read is disconnected
RETRY_DELAYS = (500, 3_000)  # milliseconds
NETWORK_STREAMS = 5  # how many times the limit of a credential a network has
MAX_BODY_SIZE = 2 * 1024 * 1024  # bytes
UNKNOWN_EVENT = -1  # the client has received no event and wants no history


def open_transaction(request: HTTPConnection) -> AbstractAsyncContextManager[AsyncSession]:
    """Open a transaction that commits at the end of the block and rolls back on an exception."""
    opened: AbstractAsyncContextManager[AsyncSession] = request.state.transaction_factory()
    return opened


def get_settings(request: HTTPConnection) -> Settings:
    """Return the settings of this process."""
    settings: Settings = request.state.settings
    return settings


async def read_body(request: Request) -> bytes:
    """Read the body. Raises TooLarge as soon as it exceeds MAX_BODY_SIZE."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_SIZE:
            raise TooLarge("body_too_large", f"A request takes at most {MAX_BODY_SIZE} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


def get_last_event_id(request: Request) -> int:
    """Return the number of the last event that the client received, or UNKNOWN_EVENT.

    It is read from the header Last-Event-ID, else from the query parameter `after`.
    """
    given = request.headers.get("Last-Event-ID") or request.query_params.get("after") or ""
    if not given:
        return UNKNOWN_EVENT
    if not (given.isdecimal() and given.isascii() and len(given) < 19):
        raise Invalid("invalid_event_id", "Say after which event to start, as a number.")
    return int(given)


class _CountedEventStream(EventSourceResponse):
    """A stream that calls a function when it has ended."""

    on_end: Callable[[], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.on_end()


def create_event_stream(
    messages: AsyncGenerator[ServerSentEvent | bytes, None],
    on_end: Callable[[], None] = lambda: None,
) -> EventSourceResponse:
    """Respond with server-sent events until `messages` ends or the client disconnects.

    The stream also ends in a database outage; a client that reconnects misses no event.
    """
    response = _CountedEventStream(
        _end_on_outage(messages),
        ping=PING_INTERVAL,
        send_timeout=SEND_TIMEOUT,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
    response.on_end = on_end
    weakref.finalize(response, on_end)  # if the response is never sent
    return response


def count_open_stream(request: HTTPConnection, credential: str) -> Callable[[], None]:
    """Count a stream of a credential and of its network, and return a function that ends it.

    Raises TooMany.
    """
    settings = get_settings(request)
    network = rate_limit_network(get_client_ip(request, settings.trusted_proxies))
    limiter: ConcurrencyLimiter = request.state.open_streams
    limit = settings.rate_limit_streams
    return limiter.acquire(
        {f"credential {credential}": limit, f"network {network}": NETWORK_STREAMS * limit}
    )


def choose_retry_delay() -> int:
    """Return after how many milliseconds a client reconnects.

    It is random, so that not all clients reconnect at the same moment after a restart.
    """
    return random.randint(*RETRY_DELAYS)  # noqa: S311 - not a secret


async def _end_on_outage(
    messages: AsyncGenerator[ServerSentEvent | bytes, None],
) -> AsyncGenerator[ServerSentEvent | bytes, None]:
    try:
        async with aclosing(messages):
            async for message in messages:
                yield message
    except Exception as error:
        if not is_outage(error):
            raise
        log.warning("a stream ends: the database does not answer: %s", error)
