"""How JSON is read, and how answers and refusals are written (contract, 1.1 and 1.3)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import pydantic_core
from pydantic import AfterValidator, PlainSerializer, TypeAdapter, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from kit.clock import in_utc
from kit.errors import Invalid, Refusal, TooMany, Unauthorized
from kit.http import STATUS_CODES, raw_body
from kit.request_id import request_id

LONGEST_ECHO = 200  # characters of a wrong value that are sent back
CODE_IN_DETAIL = {
    "task_blocked_cannot_transition",
    "task_board_mismatch",
    "task_assignee_mismatch",
    "task_update_field_forbidden",
}
"""The refusals whose `detail` has the code inside, as agents expect it there (contract, 1.3)."""


def naive_utc(moment: datetime) -> str:
    """Write a moment as the API does: UTC, with microseconds and no zone (contract, C19)."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


_SCHEMA = {"type": "string", "examples": ["2026-11-24T22:28:33.056093"]}

Moment = Annotated[
    datetime,
    PlainSerializer(naive_utc, return_type=str),
    WithJsonSchema({**_SCHEMA, "description": "UTC, ISO 8601, no zone"}, mode="serialization"),
]
"""A time in an answer."""

GivenMoment = Annotated[datetime, AfterValidator(in_utc)]
"""A time in a request: with a zone, or in UTC."""


@dataclass(frozen=True)
class Sent:
    """What a request's body holds."""

    value: Any
    is_missing: bool = False


async def read_json(request: Request) -> Sent:
    """Read the body. Raises InvalidJson, and TooLarge.

    A body that calls itself something other than JSON is kept as text, which no model takes.
    """
    raw = await raw_body(request)
    if not raw:
        return Sent(None, is_missing=True)
    kind = request.headers.get("Content-Type", "application/json").partition(";")[0].strip()
    if kind and "json" not in kind.lower():
        return Sent(raw.decode(errors="replace"))
    try:
        return Sent(pydantic_core.from_json(raw, allow_inf_nan=False))
    except ValueError as error:
        raise InvalidJson(str(error)) from error


class InvalidJson(Refusal):
    """A body that is no JSON."""

    def __init__(self, reason: str) -> None:
        super().__init__("json_invalid", "The body is not JSON.")
        self.reason = reason


def first_nul(value: Any) -> list[str | int] | None:
    """Return the place of the first text with a NUL in it, which PostgreSQL cannot keep."""
    if isinstance(value, str):
        return [] if "\x00" in value else None
    pairs = value.items() if isinstance(value, dict) else ()
    pairs = enumerate(value) if isinstance(value, list) else pairs
    for key, inner in pairs:
        if isinstance(key, str) and "\x00" in key:
            return []
        place = first_nul(inner)
        if place is not None:
            return [key, *place]
    return None


def answer(shape: TypeAdapter[Any], result: Any) -> Response:
    """Answer with what a handler gave."""
    return Response(shape.dump_json(result), media_type="application/json")


def refused(_request: Request, refusal: Exception) -> Response:
    """Answer with a refusal, in the envelope that all errors share."""
    assert isinstance(refusal, Refusal)
    headers = {"Retry-After": str(refusal.retry_after)} if isinstance(refusal, TooMany) else {}
    return envelope(_status(refusal), _detail(refusal), refusal.code, headers)


def envelope(
    status: int, detail: Any, code: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """Answer with {"detail", "code", "request_id"}."""
    content = {"detail": detail, "code": code, "request_id": request_id.get()}
    content = {key: value for key, value in content.items() if value is not None}
    body = pydantic_core.to_json(content, inf_nan_mode="null", fallback=str)
    return Response(body, status, headers, media_type="application/json")


def _status(refusal: Refusal) -> int:
    return STATUS_CODES.get(type(refusal), 422)


def _detail(refusal: Refusal) -> Any:
    if isinstance(refusal, InvalidJson):
        fault = {"type": "json_invalid", "loc": ["body", 0], "msg": "JSON decode error"}
        return [{**fault, "input": {}, "ctx": {"error": refusal.reason}}]
    faults = getattr(refusal, "faults", None)
    if faults is not None:
        return [_printable(fault) for fault in faults]
    if isinstance(refusal, Unauthorized):
        return refusal.message
    if isinstance(refusal, Invalid) and refusal.field and not refusal.details:
        loc = ["body", refusal.field]
        return [{"type": "value_error", "loc": loc, "msg": refusal.message, "input": None}]
    if not refusal.details and refusal.code not in CODE_IN_DETAIL:
        return refusal.message
    code = {"code": refusal.code} if refusal.code in CODE_IN_DETAIL else {}
    return {"message": refusal.message, **code, **refusal.details}


def _printable(fault: dict[str, Any]) -> dict[str, Any]:
    """Cut a wrong value that is long, and write what JSON has no form for."""
    given = fault.get("input")
    if isinstance(given, bytes):
        given = given.decode(errors="replace")
    if isinstance(given, str) and len(given) > LONGEST_ECHO:
        given = given[:LONGEST_ECHO] + "…"
    if isinstance(given, dict | list) and len(str(given)) > LONGEST_ECHO:
        given = type(given)()
    context = {
        key: str(value) if isinstance(value, Exception) else value
        for key, value in fault.get("ctx", {}).items()
    }
    return {**fault, "input": given, **({"ctx": context} if context else {})}
