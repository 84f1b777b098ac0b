"""The headers of requests and answers, as the OpenAPI document tells them."""

from collections.abc import Iterable
from typing import Any

from api.idempotency import HEADER, LONGEST_KEY, REPLAYED
from api.operations import Operation

LONGEST_LINE = 8_000  # characters of a header that are read
TAG = '"3-0123456789abcdef"'

KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Any text of your own. The same request under the same key is done once, and "
    "answered alike for 24 hours. In quotes or without them.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[ -~]+$"},
    "example": '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag that you know, or several: if none is of the present version, nothing "
    "is changed and the answer is 412.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_LINE},
    "example": TAG,
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag that you have: if it is still true, the answer is 304.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_LINE},
    "example": TAG,
}
HEADERS: dict[str, Any] = {
    "RequestId": {
        "description": "The id of this call. Whoever looks after the server finds it in the log.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    },
    "ETag": {
        "description": "The version of what is answered, to send back as If-Match.",
        "schema": {"type": "string"},
    },
    "Replayed": {
        "description": "`true` if this answer was given before, under the same Idempotency-Key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "RetryAfter": {
        "description": "After how many seconds to come again.",
        "schema": {"type": "integer", "minimum": 0},
    },
}


def sent(operation: Operation) -> Iterable[dict[str, Any]]:
    """Return the headers that an operation looks at."""
    if operation.takes_a_key:
        yield KEY
    if 412 in operation.errors:
        yield IF_MATCH
    if operation.method == "GET" and operation.has_versions:
        yield IF_NONE_MATCH


def answered(status: int, operation: Operation) -> dict[str, Any]:
    """Return the headers of an operation's answer with some status, as references."""
    names = {"X-Request-Id": "RequestId"}
    if status in (200, 304) and operation.has_versions:
        names["ETag"] = "ETag"
    if status == 200 and operation.takes_a_key:
        names[REPLAYED] = "Replayed"
    if status == 429:
        names["Retry-After"] = "RetryAfter"
    return {"headers": {name: _header(kept) for name, kept in names.items()}}


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}
