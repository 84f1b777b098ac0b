"""Read requests and write responses in ways shared by pages and API."""

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection, Request
from starlette.types import Message, Receive

from core.config.settings import Settings
from core.db.reads import Source
from core.errors import (
    AppError,
    BadRequest,
    Conflict,
    Forbidden,
    Gone,
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
from core.http.client_address import get_client_ip, rate_limit_network
from core.shared_limiters import SharedConcurrencyLimiter
from core.text import N_

STATUS_CODES: dict[type[AppError], int] = {
    Unauthorized: 401,
    Forbidden: 403,
    RecentSignInRequired: 403,
    NotFound: 404,
    RequestTimeout: 408,
    Conflict: 409,
    Gone: 410,
    PreconditionFailed: 412,
    TooLarge: 413,
    Invalid: 422,
    BadRequest: 400,
    TooMany: 429,
    UpstreamError: 502,
    Unavailable: 503,
}

Session = AsyncSession
"""An open transaction. Pages and API pass it to services and run no queries themselves."""

RETRY_DELAYS = (500, 3_000)  # milliseconds
NETWORK_STREAMS = 5  # how many times the limit of a credential a network has
MAX_BODY_SIZE = 2 * 1024 * 1024  # bytes
UNKNOWN_EVENT = -1  # the client has received no event and wants no history


def open_transaction(request: HTTPConnection) -> AbstractAsyncContextManager[AsyncSession]:
    """Open a transaction that commits at the end of the block and rolls back on an exception."""
    opened: AbstractAsyncContextManager[AsyncSession] = request.state.transaction_factory()
    return opened


def open_reader(request: HTTPConnection) -> AbstractAsyncContextManager[Source]:
    """Take a connection for reading, for the duration of the block."""
    opened: AbstractAsyncContextManager[Source] = request.state.read_pool.acquire()
    return opened


def get_settings(request: HTTPConnection) -> Settings:
    """Return the settings of this process."""
    settings: Settings = request.state.settings
    return settings


async def read_body(request: Request, max_size: int = MAX_BODY_SIZE) -> bytes:
    """Read the body. Raises TooLarge as soon as it exceeds `max_size` bytes, or will exceed it."""
    chunks = []
    declared = request.headers.get("Content-Length", "")
    size = 0
    if declared.isdecimal() and declared.isascii() and int(declared[:20]) > max_size:
        raise body_too_large(max_size)
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_size:
            raise body_too_large(max_size)
        chunks.append(chunk)
    return b"".join(chunks)


def body_too_large(max_size: int) -> TooLarge:
    """Build the error for a body that is larger than `max_size` bytes."""
    reason = N_("This is too much at once: %(max_size)s bytes at most.")
    return TooLarge("body_too_large", reason, max_size=max_size)


def replay_body(body: bytes, receive: Receive) -> Receive:
    """Return a function that receives a body that was read already."""
    is_sent = False

    async def receive_again() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


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


async def count_open_stream(request: HTTPConnection, credential: str) -> Callable[[], None]:
    """Count a stream of a credential and of its network, and return a function that ends it.

    Raises TooMany.
    """
    settings = get_settings(request)
    network = rate_limit_network(get_client_ip(request, settings.trusted_proxies))
    limiter: SharedConcurrencyLimiter = request.state.open_streams
    limit = settings.rate_limit_streams
    return await limiter.acquire(
        {f"credential {credential}": limit, f"network {network}": NETWORK_STREAMS * limit}
    )


WAITS_OF_AGENT, WAITS_OF_ORGANIZATION = 50, 200


async def count_wait(
    request: HTTPConnection, agent_id: UUID, organization_id: UUID
) -> Callable[[], None]:
    """Count a request of an agent that waits, and return a function that ends it. Raises TooMany.

    It is for waits that hold no slot (core/http/long_wait.py), also those of tool calls.
    """
    limiter: SharedConcurrencyLimiter = request.state.long_waits
    return await limiter.acquire(
        {
            f"agent {agent_id}": WAITS_OF_AGENT,
            f"organization {organization_id}": WAITS_OF_ORGANIZATION,
        }
    )


async def hit_gateway_limits(request: HTTPConnection, organization_id: UUID, user_id: UUID) -> None:
    """Count a call to a gateway for the organization, the user and the address. Raises TooMany.

    A user can create any number of organizations, and must not scan ports with them.
    """
    address = get_client_ip(request, get_settings(request).trusted_proxies)
    limits = request.state.rate_limits
    await limits.gateway_calls_by_address.hit(rate_limit_network(address))
    await limits.gateway_calls.hit(f"user {user_id}")
    await limits.gateway_calls.hit(str(organization_id))


def choose_retry_delay() -> int:
    """Return after how many milliseconds a client reconnects.

    It is random, so that not all clients reconnect at the same moment after a restart.
    """
    return random.randint(*RETRY_DELAYS)  # noqa: S311 - not a secret
