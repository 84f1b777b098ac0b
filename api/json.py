"""How JSON is read, and how answers and refusals are written (contract, 1.1 and 1.3)."""

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import pydantic_core
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from kit.errors import Invalid, Refusal, TooMany, Unauthorized
from kit.http import STATUS_CODES, raw_body
from kit.request_id import request_id

DEEPEST = 60  # levels of what is sent; the parser takes 200, and events wrap what was sent
LONGEST_ECHO = 200  # characters of a wrong value that are sent back

CODE_IN_DETAIL = {
    "task_blocked_cannot_transition",
    "task_board_mismatch",
    "task_assignee_mismatch",
    "task_update_field_forbidden",
}
"""The refusals whose `detail` has the code inside, as agents expect it there (contract, 1.3)."""

KEYS_OF_DETAIL = {
    "blocked_by_task_ids",
    "missing_task_ids",
    "missing_tag_ids",
    "conflicts",
    "unknown_field_keys",
    "missing_field_keys",
    "field_key",
    "field_type",
    "reason",
    "invalid_board_ids",
}
"""What makes of `detail` an object; without any of these it is a sentence (contract, 1.3)."""


@dataclass(frozen=True)
class Sent:
    """What a request's body holds."""

    value: Any
    is_missing: bool = False
    kind: str = "application/json"  # what it calls itself


class InvalidJson(Refusal):
    """A body that is no JSON."""

    def __init__(self, reason: str) -> None:
        super().__init__("json_invalid", "The body is not JSON.")
        self.reason = reason


class InvalidFields(Refusal):
    """Fields that are not as they must be, each with its place and the reason."""

    def __init__(self, faults: list[dict[str, Any]]) -> None:
        super().__init__("invalid_fields", "Some fields are not as they must be.")
        self.faults = faults


async def read_json(request: Request) -> Sent:
    """Read the body. Raises InvalidJson, and TooLarge.

    A body that calls itself something other than JSON is kept as text, which no model takes.
    """
    raw = await raw_body(request)
    if not raw:
        return Sent(None, is_missing=True)
    kind = request.headers.get("Content-Type", "application/json").partition(";")[0].strip()
    if kind and "json" not in kind.lower():
        return Sent(raw.decode(errors="replace"), kind=kind)
    try:
        return Sent(pydantic_core.from_json(raw, allow_inf_nan=False))
    except ValueError as error:
        raise InvalidJson(str(error)) from error


def unstorable(value: Any, depth: int = 0) -> tuple[list[str | int], str] | None:
    """Return the place and the fault of the first thing that cannot be kept, and read again.

    That is a text with a NUL in it, a number that no type holds, or what is nested too deeply.
    """
    if depth > DEEPEST:
        return [], f"This is nested too deeply: {DEEPEST} levels are the most."
    if isinstance(value, str):
        return ([], "Text must not contain the character NUL.") if "\x00" in value else None
    if isinstance(value, float) and not math.isfinite(value):
        return [], "This number is too large."
    pairs = value.items() if isinstance(value, dict) else ()
    pairs = enumerate(value) if isinstance(value, list) else pairs
    for key, inner in pairs:
        fault = unstorable(key) or unstorable(inner, depth + 1)
        if fault is not None:
            place = key.replace("\x00", "\ufffd") if isinstance(key, str) else key
            return [place, *fault[0]], fault[1]
    return None


def answer(shape: TypeAdapter[Any], result: Any) -> Response:
    """Answer with what a handler gave."""
    return Response(shape.dump_json(result), media_type="application/json")


async def refused(_request: Request, refusal: Exception) -> Response:
    """Answer with a refusal, in the envelope that all errors share."""
    assert isinstance(refusal, Refusal)
    headers = {"Retry-After": str(refusal.retry_after)} if isinstance(refusal, TooMany) else {}
    return envelope(_status(refusal), _detail(refusal), refusal.code, headers)


def envelope(
    status: int,
    detail: Any = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Answer with {"detail", "code", "request_id"}. Without a detail, HTTP's own words are it."""
    detail = HTTPStatus(status).phrase if detail is None else detail
    content = {"detail": detail, "code": code, "request_id": request_id.get()}
    content = {key: value for key, value in content.items() if value}
    body = pydantic_core.to_json(content, inf_nan_mode="null", fallback=str)
    return Response(body, status, headers, media_type="application/json")


def _status(refusal: Refusal) -> int:
    return STATUS_CODES.get(type(refusal), 422)


def _detail(refusal: Refusal) -> Any:
    if isinstance(refusal, InvalidJson):
        fault = {"type": "json_invalid", "loc": ["body", 0], "msg": "JSON decode error"}
        return [{**fault, "input": {}, "ctx": {"error": refusal.reason}}]
    if isinstance(refusal, InvalidFields):
        return [_printable(fault) for fault in refusal.faults]
    if isinstance(refusal, Unauthorized):
        return None
    in_detail = {key: refusal.details[key] for key in refusal.details.keys() & KEYS_OF_DETAIL}
    if isinstance(refusal, Invalid) and refusal.field and not in_detail:
        loc = ["body", refusal.field]
        return [{"type": "value_error", "loc": loc, "msg": refusal.message, "input": None}]
    if in_detail or refusal.code in CODE_IN_DETAIL:
        code = {"code": refusal.code} if refusal.code in CODE_IN_DETAIL else {}
        return {"message": refusal.message, **code, **in_detail}
    return refusal.message


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
