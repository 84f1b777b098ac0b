"""Compare responses that are serialized without validation with their declared models."""

import gzip
import re
from functools import cache
from typing import get_origin

from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.app import OPERATIONS
from api.framework.operation import PREFIX, Operation
from core.http.compression import zstd
from core.json_responses import Encoded

GZIP_PREFIX = b"\x1f\x8b"
ZSTD_PREFIX = b"\x28\xb5\x2f\xfd"


def check_encoded_responses(application: ASGIApp) -> ASGIApp:
    """Wrap an application so that a response that differs from its model fails the test."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        operation = find_encoded_operation(scope) if scope["type"] == "http" else None
        if operation is None:
            return await application(scope, receive, send)
        body, status = bytearray(), 0

        async def copy(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            body.extend(message.get("body", b""))
            await send(message)

        await application(scope, receive, copy)
        if status == 200:
            check_response(operation, bytes(body))

    return run


def check_response(operation: Operation, body: bytes) -> None:
    """Check that the model of an operation, read from a response, is serialized like it."""
    model = operation.response_type
    assert model is not None
    label = f"{operation.method} {operation.path}"
    plain = decompress(body)
    assert plain == model.dump_json(model.validate_json(plain)), label


def decompress(body: bytes) -> bytes:
    """Return the content of a body, whatever its encoding is."""
    if body.startswith(ZSTD_PREFIX):
        return zstd.decompress(body)
    return gzip.decompress(body) if body.startswith(GZIP_PREFIX) else body


def find_encoded_operation(scope: Scope) -> Operation | None:
    """Return the operation of a request if it responds without validation."""
    for pattern, operation in _list_operations():
        if operation.method == scope["method"] and pattern.match(scope["path"]):
            is_encoded = get_origin(operation.handler.__annotations__["return"]) is Encoded
            return operation if is_encoded else None
    return None


@cache
def _list_operations() -> list[tuple[re.Pattern[str], Operation]]:
    """Return all operations: paths with fewer parameters first, as `stream` is no id."""
    ordered = sorted(OPERATIONS, key=lambda one: one.path.count("{"))
    return [(compile_path(f"{PREFIX}{one.path}")[0], one) for one in ordered]
