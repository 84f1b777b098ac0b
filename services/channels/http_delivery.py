"""Send the request of a channel, and interpret the response of the service."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson

from core.http.outbound import (
    OutboundClient,
    OutboundOutcome,
    OutboundRequest,
    OutboundResult,
    parse_retry_after,
    read_retry_after,
)
from core.security.secrets import mask_tokens
from core.text import replace_unstorable
from services.channels.messages import (
    MAX_REQUEST_LENGTH,
    MAX_RESPONSE_LENGTH,
    delivered,
    failed,
    mask_secrets,
    retry,
    shorten,
)
from services.notifications import SendReason, SendResult

MAX_DETAIL_LENGTH = 300  # characters

RETRIED_OUTCOMES = {
    OutboundOutcome.DNS: SendReason.DNS,
    OutboundOutcome.UNREACHABLE: SendReason.UNREACHABLE,
    OutboundOutcome.TLS: SendReason.TLS,
    OutboundOutcome.TIMEOUT: SendReason.TIMEOUT,
    OutboundOutcome.INVALID_RESPONSE: SendReason.INVALID_RESPONSE,
}
FAILED_OUTCOMES = {
    OutboundOutcome.ADDRESS_INVALID: SendReason.ADDRESS_INVALID,
    OutboundOutcome.ADDRESS_FORBIDDEN: SendReason.ADDRESS_FORBIDDEN,
    OutboundOutcome.REDIRECTED: SendReason.REDIRECTED,
}
FAILED_STATUSES = {
    401: SendReason.UNAUTHORIZED,
    403: SendReason.UNAUTHORIZED,
    404: SendReason.NOT_FOUND,
    410: SendReason.NOT_FOUND,
    413: SendReason.TOO_LARGE,
}
RETRIED_STATUSES = {
    408: SendReason.TIMEOUT,
    425: SendReason.SERVER_ERROR,
    429: SendReason.RATE_LIMITED,
}


async def send_request(
    client: OutboundClient,
    request: OutboundRequest,
    config: dict[str, str],
    *,
    allows_private: bool,
) -> tuple[SendResult, OutboundResult]:
    """Send a request once, and return its result with excerpts for the log."""
    answer = await client.send(request, allows_private=allows_private)
    result = interpret_answer(answer)
    response = describe_response(answer, config)
    detail = shorten(mask_secrets(result.detail, config), MAX_DETAIL_LENGTH)
    logged = describe_request(request, config)
    return replace(result, detail=detail, request=logged, response=response), answer


def interpret_answer(answer: OutboundResult) -> SendResult:
    """Return what an answer means for a service that follows the conventions of HTTP."""
    if answer.is_delivered:
        return delivered()
    if answer.outcome in RETRIED_OUTCOMES:
        return retry(RETRIED_OUTCOMES[answer.outcome], answer.detail)
    if answer.outcome in FAILED_OUTCOMES:
        return failed(FAILED_OUTCOMES[answer.outcome], answer.detail)
    status, detail = answer.status or 0, describe_status(answer)
    if status in RETRIED_STATUSES or status >= 500:
        reason = RETRIED_STATUSES.get(status, SendReason.SERVER_ERROR)
        return retry(reason, detail, retry_after=find_retry_after(answer))
    return failed(FAILED_STATUSES.get(status, SendReason.REJECTED), detail)


def describe_status(answer: OutboundResult) -> str:
    """Return the status of an answer and the first line of its body."""
    lines = _read_body(answer).strip().splitlines()
    return f"{answer.status} {lines[0] if lines else ''}".strip()


def find_retry_after(answer: OutboundResult) -> timedelta | None:
    """Return the time after which the service wants to be asked again, at most a day.

    Discord and Telegram also name it in the body.
    """
    content = read_json(answer)
    parameters = content.get("parameters")
    named = parameters.get("retry_after") if isinstance(parameters, Mapping) else None
    values = (named, content.get("retry_after"))
    found = next((parsed for value in values if (parsed := parse_retry_after(value))), None)
    return found or read_retry_after(answer.headers)


def read_json(answer: OutboundResult) -> Mapping[str, Any]:
    """Return the JSON object in the body of an answer, or an empty one."""
    try:
        content = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def describe_request(request: OutboundRequest, config: dict[str, str]) -> str:
    """Return a request for the log. The path of the URL is left out, because it is often secret."""
    parts = urlsplit(request.url)
    body = mask_secrets(request.body.decode(errors="replace"), config)
    text = f"{request.method} {parts.scheme}://{parts.netloc}/…\n\n{body}"
    return shorten(replace_unstorable(text), MAX_REQUEST_LENGTH)


def describe_response(answer: OutboundResult, config: dict[str, str]) -> str:
    """Return a response for the log, or an empty text if there was none."""
    if answer.status is None:
        return ""
    body = mask_tokens(mask_secrets(_read_body(answer), config))
    return shorten(f"{answer.status}\n\n{body}".strip(), MAX_RESPONSE_LENGTH)


def _read_body(answer: OutboundResult) -> str:
    return replace_unstorable(answer.body.decode(errors="replace"))
