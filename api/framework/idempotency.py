"""Idempotency-Key: safe repetition of a POST (draft-ietf-httpapi-idempotency-key-header)."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.framework.errors import handle_app_error
from api.framework.request_parser import RequestBody
from core.errors import AppError, Invalid
from core.http.request import Session, open_transaction
from models import Actor
from services import idempotency
from services.idempotency import IdempotentRequest, StoredResponse

IDEMPOTENCY_KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"  # response header: this response was stored earlier
MAX_KEY_LENGTH = 255  # characters
STORED_HEADERS = ("content-type", "etag", "location")

Respond = Callable[[], Awaitable[Response]]
CheckAccess = Callable[[Session], Awaitable[object]]
"""Raises NotFound or Forbidden if the caller may not make the request any more."""


def read_idempotent_request(
    request: Request, actor: Actor | None, body: RequestBody | None
) -> IdempotentRequest | None:
    """Return the request with its idempotency key, or None without a key. Raises Invalid.

    Only a POST of an authenticated caller has one.
    """
    key = read_idempotency_key(request) if request.method == "POST" and actor else None
    if key is None or actor is None:
        return None
    content = [request.method, request.url.path, request.url.query, body.value if body else None]
    hashed = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return IdempotentRequest(actor.id, key, hashed)


async def run_idempotent(
    session: Session,
    request: Request,
    idempotent_request: IdempotentRequest | None,
    respond: Callable[[], Awaitable[Any]],
    check_access: CheckAccess,
) -> Any:
    """Answer a request, or repeat the stored response of the same request with the same key.

    Without a key the answer of `respond` need not be a response.

    Errors are not stored, so that the request can be sent again with its key. An error that keeps
    changes is returned, so that the transaction is committed. A response is repeated only while
    the caller has the rights for the request.
    """
    try:
        if idempotent_request is None:
            return await respond()
        cipher = request.state.secret_cipher
        stored = await idempotency.claim_key(session, idempotent_request, cipher)
        if stored is not None:
            await check_access(session)
            return _replay_response(stored)
        response = await respond()
        await idempotency.store_response(
            session, idempotent_request, _build_stored_response(response), cipher
        )
        return response
    except AppError as error:
        if not error.keeps_changes:
            raise
        if idempotent_request is not None:
            await idempotency.release_key(session, idempotent_request)
        return await handle_app_error(request, error)


async def run_idempotent_without_transaction(
    request: Request,
    idempotent_request: IdempotentRequest | None,
    respond: Respond,
    check_access: CheckAccess,
) -> Response:
    """Run a handler that waits for the network once for each key, in several transactions."""
    if idempotent_request is None:
        return await respond()
    cipher = request.state.secret_cipher
    async with open_transaction(request) as session:
        stored = await idempotency.claim_key(session, idempotent_request, cipher)
        if stored is not None:
            await check_access(session)
            return _replay_response(stored)
    try:
        response = await respond()
    except BaseException:
        async with open_transaction(request) as session:
            await idempotency.release_key(session, idempotent_request)
        raise
    async with open_transaction(request) as session:
        await idempotency.store_response(
            session, idempotent_request, _build_stored_response(response), cipher
        )
    return response


def _build_stored_response(response: Response) -> StoredResponse:
    headers = {name: value for name, value in response.headers.items() if name in STORED_HEADERS}
    return StoredResponse(response.status_code, headers, bytes(response.body).decode())


def _replay_response(stored: StoredResponse) -> Response:
    return Response(stored.body, stored.status, {**stored.headers, REPLAYED_HEADER: "true"})


def read_idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key of a request without quotes. Raises Invalid.

    The draft requires a quoted string, but many clients omit the quotes; both mean the same.
    """
    header_values = request.headers.getlist(IDEMPOTENCY_KEY_HEADER)
    if not header_values:
        return None
    key = header_values[0].strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    is_valid = 0 < len(key) <= MAX_KEY_LENGTH and key.isascii() and key.isprintable()
    if len(header_values) > 1 or not is_valid:
        limits = f"1 to {MAX_KEY_LENGTH} printable ASCII characters"
        reason = f"Send one {IDEMPOTENCY_KEY_HEADER} of {limits}."
        raise Invalid("idempotency_key_invalid", reason)
    return key
