"""Asking a gateway about requests: what it lists, what has become of one, telling it an answer."""

from collections.abc import Mapping
from typing import Any

from models import GatewayRequest, RequestKind
from openclaw import GatewayError, Link, Trouble
from services.gateway_requests.reading import Asked, several
from services.gateway_requests.rules import Fate

LISTS = {RequestKind.EXEC: "exec.approval.list", RequestKind.QUESTION: "question.list"}
READS = {RequestKind.EXEC: "approval.get", RequestKind.QUESTION: "question.get"}
OVER = ("APPROVAL_ALREADY_RESOLVED", "APPROVAL_NOT_FOUND", "QUESTION_NOT_FOUND")
OVER += ("QUESTION_ALREADY_TERMINAL",)
"""Why a gateway takes no answer any more, in its `details.reason`."""

CLOSING = ("gateway-restarting", "gateway-suspending")
"""Why a gateway tells nothing any more that still takes answers: it waits for them, to stop."""

NO_MORE = (Trouble.REJECTED, Trouble.MISSING_SCOPE)
"""What does not pass by asking again."""

SHORT = 8  # characters of a device's id
LONGEST = 200  # characters of whoever has answered elsewhere
BY_US = "Mission Control"  # how a gateway calls whoever is connected as we are
ABORTED = "approval-scope-closed"  # by whom an approval was denied whose run is over


class Refused(Exception):
    """The gateway does not take an answer, for a reason that stays one."""


async def listed(link: Link, kind: RequestKind) -> dict[str, Asked] | None:
    """Return the requests of a kind that wait, by id; None where the gateway has no such thing."""
    try:
        return several(kind, await link.ask(LISTS[kind], {}))
    except GatewayError as error:
        if error.trouble in NO_MORE:
            return None
        raise


async def fate(link: Link, kind: RequestKind, request_id: str) -> Fate | None:
    """Return what has become of a request; None while it waits."""
    try:
        said = await link.ask(READS[kind], {"id": request_id})
    except GatewayError as error:
        if error.trouble in NO_MORE:
            return Fate()
        raise
    row = _part(said, "approval" if kind is RequestKind.EXEC else "question")
    return _of_approval(row) if kind is RequestKind.EXEC else _of_question(row)


async def tell(link: Link, request: GatewayRequest, heard: str | None) -> Fate:
    """Tell a gateway the answer to a request, and return what has become of it.

    Before that it has to show the very same as was answered. While it is about to stop it shows
    nothing; then what was `heard` of it last counts, the hash of what it asked under this id. The
    gateway knows an answer again, so telling it twice does no harm. Raises Refused.
    """
    shown = await _shown(link, request, heard)
    if shown is not None and shown != request.sha256:
        raise Refused("The gateway asks something else now, so it was not told the answer.")
    try:
        await _resolve(link, request)
    except GatewayError as error:
        if error.details.get("reason") in OVER:
            return await _how_it_ended(link, request)
        if error.trouble in NO_MORE:
            raise Refused(f"The gateway does not take the answer: {error.message}") from None
        raise
    return Fate(is_answered=True, answer=request.answer, by=request.answered_by)


async def _shown(link: Link, request: GatewayRequest, heard: str | None) -> str | None:
    """Return the hash of what a gateway asks under an id; None where it asks nothing there."""
    try:
        waiting = await listed(link, request.kind) or {}
    except GatewayError as error:
        if heard is not None and error.details.get("reason") in CLOSING:
            return heard
        raise
    asked = waiting.get(request.request_id)
    return asked.sha256 if asked else None


async def _resolve(link: Link, request: GatewayRequest) -> None:
    given, params = request.answer or {}, {"id": request.request_id}
    if request.kind is RequestKind.EXEC:
        await link.ask("exec.approval.resolve", params | given)
        return
    known = {"resolvedBy": f"{request.answered_by} ({BY_US})"}
    if not given.get("cancel"):
        known |= {"resolutionId": str(request.id)}
        given = {"answers": {"answers": given["answers"]}}
    await link.ask("question.resolve", params | given | known)


async def _how_it_ended(link: Link, request: GatewayRequest) -> Fate:
    """Return how a request has ended that takes no answer any more: perhaps it had ours already."""
    if request.kind is RequestKind.QUESTION and await _was_ours(link, request):
        return Fate(is_answered=True, answer=request.answer, by=request.answered_by)
    return await fate(link, request.kind, request.request_id) or Fate()


async def _was_ours(link: Link, request: GatewayRequest) -> bool:
    asked = {"id": request.request_id, "timeoutMs": 1, "includeResolutionId": True}
    try:
        said = await link.ask("question.waitAnswer", asked)
    except GatewayError as error:
        if error.trouble in NO_MORE:
            return False
        raise
    return _part({"": said}, "").get("resolutionId") == str(request.id)


def _of_approval(row: Mapping[str, Any]) -> Fate | None:
    by = _resolver(_part(row, "resolver"))
    decision = _text(row.get("decision"))
    match row.get("status"):
        case "pending":
            return None
        case "allowed" | "denied" if decision and row.get("reason") == "user" and by != ABORTED:
            return Fate(is_answered=True, answer={"decision": decision}, by=by)
        case "expired":
            return Fate(is_expired=True)
        case "cancelled" | "denied":
            return Fate(is_cancelled=True)
    return Fate()


def _of_question(row: Mapping[str, Any]) -> Fate | None:
    by = _text(row.get("resolvedBy"))
    match row.get("status"):
        case "pending":
            return None
        case "answered":
            answers = _part(row, "answers").get("answers")
            return Fate(is_answered=True, answer={"answers": answers}, by=by)
        case "expired":
            return Fate(is_expired=True)
        case "cancelled":
            return Fate(is_cancelled=True)
    return Fate()


def _resolver(said: Mapping[str, Any]) -> str | None:
    id = _text(said.get("id"))
    return f"The device {id[:SHORT]}" if id and said.get("kind") == "device" else id


def _part(said: object, name: str) -> Mapping[str, Any]:
    part = said.get(name) if isinstance(said, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _text(value: object) -> str | None:
    return value[:LONGEST] if isinstance(value, str) and value else None
