"""Idempotency-Key: a POST that may be sent again (draft-ietf-httpapi-idempotency-key-header)."""

import hashlib
import json
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from api.json import Sent
from kit.errors import Invalid
from kit.http import Session, transaction
from models import Actor
from services import idempotency
from services.idempotency import Asked, Given

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"  # in the answer: it was given before
LONGEST_KEY = 255  # characters
KEPT_HEADERS = ("content-type", "etag", "location")

Answered = Callable[[], Awaitable[Response]]


def asked_again(request: Request, actor: Actor | None, sent: Sent | None) -> Asked | None:
    """Return what is asked under a key, if it is. Raises Invalid about the key.

    Only a POST counts, and only of somebody.
    """
    key = key_of(request) if request.method == "POST" and actor else None
    if key is None or actor is None:
        return None
    return Asked(actor.id, key, _fingerprint(request, sent))


async def once(
    session: Session, request: Request, asked: Asked | None, answered: Answered
) -> Response:
    """Answer a request, or give the answer that the same request got before under its key.

    What is refused is not kept: it has changed nothing.
    """
    if asked is None:
        return await answered()
    seal = request.state.seal
    given = await idempotency.claim(session, asked, seal)
    if given is not None:
        return _replayed(given)
    response = await answered()
    await idempotency.keep(session, asked, _given(response), seal)
    return response


async def once_between(request: Request, asked: Asked | None, answered: Answered) -> Response:
    """Do the same for what waits for the network, and so has no transaction of its own."""
    if asked is None:
        return await answered()
    seal = request.state.seal
    async with transaction(request) as session:
        given = await idempotency.claim(session, asked, seal)
    if given is not None:
        return _replayed(given)
    try:
        response = await answered()
    except BaseException:
        async with transaction(request) as session:
            await idempotency.release(session, asked)
        raise
    async with transaction(request) as session:
        await idempotency.keep(session, asked, _given(response), seal)
    return response


def _given(response: Response) -> Given:
    headers = {name: value for name, value in response.headers.items() if name in KEPT_HEADERS}
    return Given(response.status_code, headers, bytes(response.body).decode())


def _replayed(given: Given) -> Response:
    return Response(given.body, given.status, {**given.headers, REPLAYED: "true"})


def key_of(request: Request) -> str | None:
    """Return the key that a request carries, without its quotes. Raises Invalid.

    The draft wants a string in quotes; many clients leave them out, and both mean the same.
    """
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    key = given[0].strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    good = 0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()
    if len(given) > 1 or not good:
        reason = f"Send one {HEADER} of 1 to {LONGEST_KEY} printable characters of ASCII."
        raise Invalid("idempotency_key_invalid", reason)
    return key


def _fingerprint(request: Request, sent: Sent | None) -> str:
    """Return what tells a request from others: method, path, query, and what the body means."""
    said = [request.method, request.url.path, request.url.query, sent.value if sent else None]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
