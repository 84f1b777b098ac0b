"""Calls of a gateway about requests: list them, load how one was resolved, deliver an answer."""

import asyncio
from collections.abc import Mapping
from typing import Any

from models import DECISION_KINDS, GatewayRequest, RequestKind
from openclaw import ErrorKind, GatewayClient, GatewayError, request_api
from services.gateways.requests.parser import ParsedRequest, RequestHash, parse_request
from services.gateways.requests.rules import UNSHOWN_ERROR, Resolution, is_answered_unseen

OVER_REASONS = ("APPROVAL_ALREADY_RESOLVED", "APPROVAL_NOT_FOUND", "QUESTION_NOT_FOUND")
OVER_REASONS += ("QUESTION_ALREADY_TERMINAL",)
"""Values of `details.reason` of a request that takes no answer any more."""

CLOSING_REASONS = ("gateway-restarting", "gateway-suspending")
"""Values of `details.reason` of a gateway that lists nothing, but takes answers until it stops."""

PERMANENT_ERRORS = (ErrorKind.REJECTED, ErrorKind.MISSING_SCOPE)
"""Errors that a retry cannot change."""

SHORT_ID_LENGTH = 8  # characters of a device's id
MAX_NAME_LENGTH = 200  # characters of the name of the user who answered on the gateway
OUR_NAME = "Mission Control"
ABORTED_RESOLVER = "approval-scope-closed"  # the resolver of approvals whose run has ended


class AnswerRejected(Exception):
    """The gateway does not accept an answer, and will not accept it later."""


async def list_waiting(client: GatewayClient, kind: RequestKind) -> dict[str, ParsedRequest] | None:
    """Return the waiting requests of a kind, by id; None if the gateway does not have them."""
    try:
        if kind in DECISION_KINDS:
            rows = await request_api.list_approvals(client, kind.value)
        else:
            rows = await request_api.list_questions(client)
    except GatewayError as error:
        if error.kind in PERMANENT_ERRORS:
            return None
        raise
    waiting: dict[str, ParsedRequest] = {}
    for row in rows:
        await asyncio.sleep(0)  # each can be long, so others work between two of them
        if (request := parse_request(kind, row)) is not None:
            waiting[request.request_id] = request
    return waiting


async def load_resolution(
    client: GatewayClient, kind: RequestKind, request_id: str
) -> Resolution | None:
    """Return how a request was resolved; None while it waits."""
    try:
        if kind in DECISION_KINDS:
            return _approval_resolution(await request_api.get_approval(client, request_id))
        return _question_resolution(await request_api.get_question(client, request_id))
    except GatewayError as error:
        if error.kind in PERMANENT_ERRORS:
            return Resolution()
        raise


async def deliver_answer(
    client: GatewayClient, request: GatewayRequest, known_hash: RequestHash | None
) -> Resolution:
    """Deliver the answer to a request, and return its resolution. Raises AnswerRejected.

    The gateway must still list exactly the content that was answered. While it is stopping it lists
    nothing; then `known_hash`, of the content that it listed last, is compared instead. The gateway
    recognizes an answer, so it may be delivered again.
    """
    present_hash = await _present_hash(client, request, known_hash)
    if present_hash is not None and not present_hash.is_of(request):
        raise AnswerRejected("The gateway asks something else now, so it was not told the answer.")
    if present_hash is not None and is_answered_unseen(request, present_hash):
        raise AnswerRejected(UNSHOWN_ERROR)
    try:
        await _send_answer(client, request)
    except GatewayError as error:
        if error.details.get("reason") in OVER_REASONS:
            return await _load_end(client, request)
        if error.kind in PERMANENT_ERRORS:
            message = f"The gateway does not take the answer: {error.message}"
            raise AnswerRejected(message) from None
        raise
    return _our_resolution(request)


async def _present_hash(
    client: GatewayClient, request: GatewayRequest, known_hash: RequestHash | None
) -> RequestHash | None:
    """Return the hash of the request's content on the gateway; None if it is not listed."""
    try:
        waiting = await list_waiting(client, request.kind) or {}
    except GatewayError as error:
        if known_hash is not None and error.details.get("reason") in CLOSING_REASONS:
            return known_hash
        raise
    found = waiting.get(request.request_id)
    return found.hash if found else None


async def _send_answer(client: GatewayClient, request: GatewayRequest) -> None:
    answer = request.answer or {}
    if request.takes_decision:
        id, kind = request.request_id, request.kind.value
        await request_api.resolve_approval(client, kind, id, answer)
        return
    await request_api.resolve_question(
        client,
        request.request_id,
        answers=None if answer.get("cancel") else answer["answers"],
        resolved_by=f"{request.answered_by} ({OUR_NAME})",
        resolution_id=str(request.id),
    )


async def _load_end(client: GatewayClient, request: GatewayRequest) -> Resolution:
    """Return how a request has ended that takes no answer: perhaps ours was delivered before."""
    if request.kind is RequestKind.QUESTION and await _has_our_answer(client, request):
        return _our_resolution(request)
    return await load_resolution(client, request.kind, request.request_id) or Resolution()


async def _has_our_answer(client: GatewayClient, request: GatewayRequest) -> bool:
    try:
        resolution_id = await request_api.question_resolution_id(client, request.request_id)
    except GatewayError as error:
        if error.kind in PERMANENT_ERRORS:
            return False
        raise
    return resolution_id == str(request.id)


def _our_resolution(request: GatewayRequest) -> Resolution:
    return Resolution(is_answered=True, answer=request.answer, resolved_by=request.answered_by)


def _approval_resolution(row: Mapping[str, Any]) -> Resolution | None:
    by = _resolver_name(row.get("resolver"))
    decision = _short_text(row.get("decision"))
    is_by_user = row.get("reason") == "user" and by != ABORTED_RESOLVER
    match row.get("status"):
        case "pending":
            return None
        case "allowed" | "denied" if decision and is_by_user:
            return Resolution(is_answered=True, answer={"decision": decision}, resolved_by=by)
        case "expired":
            return Resolution(is_expired=True)
        case "cancelled" | "denied":
            return Resolution(is_cancelled=True)
    return Resolution()


def _question_resolution(row: Mapping[str, Any]) -> Resolution | None:
    by = _short_text(row.get("resolvedBy"))
    match row.get("status"):
        case "pending":
            return None
        case "answered":
            given = row.get("answers")
            answers = given.get("answers") if isinstance(given, Mapping) else None
            return Resolution(is_answered=True, answer={"answers": answers}, resolved_by=by)
        case "expired":
            return Resolution(is_expired=True)
        case "cancelled":
            return Resolution(is_cancelled=True)
    return Resolution()


def _resolver_name(resolver: object) -> str | None:
    if not isinstance(resolver, Mapping):
        return None
    id = _short_text(resolver.get("id"))
    return f"The device {id[:SHORT_ID_LENGTH]}" if id and resolver.get("kind") == "device" else id


def _short_text(value: object) -> str | None:
    return value[:MAX_NAME_LENGTH] if isinstance(value, str) and value else None
