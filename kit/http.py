"""What both faces need to read a request and to write an answer."""

import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing

from sqlalchemy.ext.asyncio import AsyncSession
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import HTTPConnection, Request

from kit.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OutsideFailed,
    PreconditionFailed,
    Refusal,
    TooLarge,
    TooMany,
    Unauthorized,
    Unavailable,
)
from kit.last_resort import is_outage
from kit.settings import Settings

STATUS_CODES: dict[type[Refusal], int] = {
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    PreconditionFailed: 412,
    TooLarge: 413,
    Invalid: 422,
    TooMany: 429,
    OutsideFailed: 502,
    Unavailable: 503,
}

Session = AsyncSession
"""An open transaction, as the faces pass it on to services. They ask it nothing themselves."""

log = logging.getLogger(__name__)

PING = 15  # seconds between the comments that keep a quiet stream open (contract, 1.8)
SEND_TIMEOUT = 30  # seconds after which a reader that takes nothing is given up
MOST_BODY = 2 * 1024 * 1024  # bytes of a request's body
UNKNOWN_EVENT = -1  # where a stream starts that has seen nothing and wants no history


def transaction(request: HTTPConnection) -> AbstractAsyncContextManager[AsyncSession]:
    """Open a transaction. It commits when its block ends, and rolls back if the block raises."""
    opened: AbstractAsyncContextManager[AsyncSession] = request.state.transaction()
    return opened


def settings_of(request: HTTPConnection) -> Settings:
    """Return the settings of this process."""
    settings: Settings = request.state.settings
    return settings


async def raw_body(request: Request) -> bytes:
    """Read the body. Raises TooLarge as soon as it is longer than MOST_BODY."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BODY:
            raise TooLarge("body_too_large", f"A request takes at most {MOST_BODY} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


def last_event_id(request: Request) -> int:
    """Return the number of the last event that the client has seen, or UNKNOWN_EVENT.

    It is in the header Last-Event-ID when a client comes back, else in `after`.
    """
    given = request.headers.get("Last-Event-ID") or request.query_params.get("after") or ""
    if not given:
        return UNKNOWN_EVENT
    if not (given.isdecimal() and given.isascii() and len(given) < 19):
        raise Invalid("invalid_event_id", "Say after which event to start, as a number.")
    return int(given)


def event_stream(messages: AsyncGenerator[ServerSentEvent | bytes, None]) -> EventSourceResponse:
    """Answer with server-sent events until `messages` ends or the client goes away.

    It also ends when the database is away: who comes back then has missed nothing.
    """
    return EventSourceResponse(
        _until_an_outage(messages),
        ping=PING,
        send_timeout=SEND_TIMEOUT,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _until_an_outage(
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
