"""Error responses in the API's envelope, which is that of the original, and preconditions.

ETag, If-Match and If-None-Match follow RFC 9110, 8.8.3 and 13.
"""

import hashlib
import re
from datetime import datetime
from http import HTTPStatus
from typing import Any

import pydantic_core
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from core.clock import format_naive_utc
from core.errors import AppError, Invalid, TooMany
from core.fields import KnownVersions
from core.http.middleware import request_id
from core.http.request import STATUS_CODES

MAX_ECHO_LENGTH = 200  # characters of an invalid value or name that are sent back


class InvalidJson(AppError):
    """The body is not valid JSON."""

    def __init__(self, reason: str) -> None:
        super().__init__("json_invalid", "The body is not JSON.")
        self.reason = reason


class InvalidFields(AppError):
    """Invalid fields, each with its location and the reason."""

    def __init__(self, field_errors: list[dict[str, Any]]) -> None:
        super().__init__("invalid_fields", "Some fields are not valid.")
        self.field_errors = field_errors


async def handle_app_error(request: Request, error: Exception) -> Response:
    """Answer an AppError in the common error envelope."""
    assert isinstance(error, AppError)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, TooMany) else {}
    detail = _build_detail(error)
    return build_error_response(STATUS_CODES.get(type(error), 422), detail, error.code, headers)


async def handle_unknown_address(_request: Request, error: Exception) -> Response:
    """Answer an error of the router: an unknown path or a method that is not allowed."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return build_error_response(error.status_code, code=code, headers=dict(error.headers or {}))


async def handle_server_error(request: Request, error: Exception) -> Response:
    """Answer an unexpected error with 500, and an AppError with its status.

    The AppError is Unavailable where the database does not respond.
    """
    if isinstance(error, AppError):
        return await handle_app_error(request, error)
    return build_error_response(500)


def build_error_response(
    status: int,
    detail: Any = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return {"detail", "code", "request_id"}. The default detail is the HTTP status phrase."""
    detail = HTTPStatus(status).phrase if detail is None else detail
    content = {"detail": detail, "code": code, "request_id": request_id.get()}
    content = {key: value for key, value in content.items() if value}
    body = pydantic_core.to_json(content, inf_nan_mode="null", fallback=str)
    return Response(body, status, headers, media_type="application/json")


def _build_detail(error: AppError) -> Any:
    if isinstance(error, InvalidJson):
        field_error = {"type": "json_invalid", "loc": ["body", 0], "msg": "JSON decode error"}
        return [{**field_error, "input": {}, "ctx": {"error": error.reason}}]
    if isinstance(error, InvalidFields):
        return [_make_printable(one) for one in error.field_errors[:100]]
    if error.sent_as == "status":
        return None
    if error.sent_as in ("object", "object_with_code"):
        code = {"code": error.code} if error.sent_as == "object_with_code" else {}
        details = {
            key: format_naive_utc(value) if isinstance(value, datetime) else value
            for key, value in error.details.items()
        }
        return {"message": error.message, **code, **details}
    if error.sent_as == "field" and isinstance(error, Invalid) and error.field:
        loc = ["body", error.field]
        return [{"type": "value_error", "loc": loc, "msg": error.message, "input": None}]
    return error.message


def _make_printable(field_error: dict[str, Any]) -> dict[str, Any]:
    """Truncate long values and names, and convert values that JSON cannot represent."""
    field_input = field_error.get("input")
    if isinstance(field_input, bytes):
        field_input = field_input.decode(errors="replace")
    field_input = _truncate(field_input)
    loc = [_truncate(part) for part in field_error["loc"]]
    if isinstance(field_input, dict | list) and len(str(field_input)) > MAX_ECHO_LENGTH:
        field_input = type(field_input)()
    context = {
        key: str(value) if isinstance(value, Exception) else value
        for key, value in field_error.get("ctx", {}).items()
    }
    fields = {**field_error, "loc": loc, "input": field_input}
    return {**fields, **({"ctx": context} if context else {})}


def _truncate(value: Any) -> Any:
    is_long = isinstance(value, str) and len(value) > MAX_ECHO_LENGTH
    return value[:MAX_ECHO_LENGTH] + "…" if is_long else value


ETAG_PATTERN = re.compile(r'(W/)?"([!#-~\x80-\xff]*)"')
VERSION_UNSUPPORTED = "This has no version. Send the request without If-Match."


def read_known_versions(request: Request) -> KnownVersions:
    """Return the versions in If-Match, or None without it or for `*`. Weak tags never match."""
    header_values = request.headers.getlist("If-Match")
    if not header_values or [item.strip() for item in header_values] == ["*"]:
        return None
    tags = ETAG_PATTERN.findall(", ".join(header_values))
    versions = [tag.partition("-")[0] for weak, tag in tags if not weak]
    return {int(one) for one in versions if one.isascii() and one.isdecimal() and len(one) <= 10}


def add_etag(request: Request, response: Response, version: int) -> Response:
    """Add the ETag to a response, or return 304 if the client already has this ETag.

    An ETag is `"<version>-<hash of the response>"`. If-Match compares the version alone, which
    counts changes of the object itself. The hash makes the ETag strong: other content of the
    response, such as the names of tags, may change without the version.
    """
    tag = f"{version}-{hashlib.sha256(bytes(response.body)).hexdigest()[:16]}"
    return answer_with_etag(request, response, tag)


def answer_with_etag(request: Request, response: Response, tag: str) -> Response:
    """Add an ETag to a response, or return 304 if the client already has it."""
    if request.method in ("GET", "HEAD"):
        header_values = ", ".join(request.headers.getlist("If-None-Match"))
        known = [known for _, known in ETAG_PATTERN.findall(header_values)]
        if header_values.strip() == "*" or tag in known:
            return Response(status_code=304, headers={"ETag": f'"{tag}"'})
    response.headers["ETag"] = f'"{tag}"'
    return response
